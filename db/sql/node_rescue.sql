-- Takes a dead node's jobs back.
select lost, quarantined, queues, leases from troupe.rescue($1, $2 * interval '1 ms')
