-- Lives of nodes, newest first: the newest of a name, or those of a state below an id.
-- reads
select id, name, state, version, started_at, heartbeat_at, ended_at, slots, kinds, queues, queue_slots, running
  from troupe.list_nodes($1, $2, $3, $4, $5)
