-- Lives of nodes, newest first: the newest of a name, or those of a state below an id. The page ends early once the
-- names of kinds in it have $6 bytes.
-- reads
select id, name, state, version, started_at, heartbeat_at, ended_at, slots, kinds, queues, queue_slots, running
  from (select l.*, sum(octet_length(array_to_string(l.kinds, '')))
                      over (rows between unbounded preceding and 1 preceding) as bytes
          from troupe.list_nodes($1, $2, $3, $4, $5) l) page
 where coalesce(bytes, 0) < $6
