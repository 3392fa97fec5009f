-- Heartbeat, and what happened meanwhile.
select alive, dead, cancelled, leases, next_due_ms, queues || troupe.queues_in_turn() as queues, paused,
       capped, caps, draining
  from troupe.beat($1, $2)
