-- As job_list, without the args: those that lie apart are not even read.
-- reads
-- by rows
select id, queue, kind, priority, state, '{}'::jsonb, attempt, max_attempts, timeout_ms, tags, run_at, created_at,
       limit_key, node, taken_at
  from troupe.list_jobs($1, $2, $3, $4, $5)
