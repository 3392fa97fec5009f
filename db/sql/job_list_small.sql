-- The same as job_list, read whole: for so few that they fit into the largest answer.
-- reads
select id, queue, kind, priority, state, args, attempt, max_attempts, timeout_ms, tags, run_at, created_at,
       limit_key
  from troupe.list_jobs($1, $2, $3, $4, $5)
