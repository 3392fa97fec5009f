-- One job with its state.
-- reads
select id, queue, kind, priority, state, args, attempt, max_attempts, timeout_ms, tags, run_at, created_at,
       troupe.limit_key_of(id) as limit_key, taken_at, node
  from troupe.get_job($1)
