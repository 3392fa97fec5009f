-- Takes a dead node's jobs back.
select lost, quarantined, queues from troupe.rescue($1, $2 * interval '1 ms')
