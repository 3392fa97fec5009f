-- One job with its state.
-- reads
select id, queue, kind, priority, state, args, attempt, max_attempts, timeout_ms, tags, run_at, created_at,
       taken_at, node
  from troupe.get_job($1)
