-- Jobs of one state or of any, newest first, below an id.
-- reads
-- by rows
select id, queue, kind, priority, state, args, attempt, max_attempts, timeout_ms, tags, run_at, created_at,
       limit_key, node, taken_at
  from troupe.list_jobs($1, $2, $3, $4, $5)
