-- Several jobs with their states, some without their args; what is not there has no row.
-- reads
-- by rows
select id, queue, kind, priority, state, case when id = any ($2) then '{}' else args end, attempt, max_attempts,
       timeout_ms, tags, run_at, created_at,
       limit_key, taken_at, node, percent, message, told_attempt, told_at,
       case when retry is not null then troupe.retry_numbers(retry) end as retry, traceparent
  from troupe.get_jobs($1)
