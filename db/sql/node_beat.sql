-- Heartbeat, and what happened meanwhile.
select alive, dead, cancelled, leases, next_due_ms, queues from troupe.beat($1, $2)
