-- What holds one job.
-- reads
select id, state, reason, queue, kind, limit_key, node, since, due_at, allowed, in_use, ahead, more_ahead,
       nodes, error, holder
  from troupe.why($1)
