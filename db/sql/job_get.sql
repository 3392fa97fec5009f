-- One job with its state, with its args or without.
-- reads
select id, queue, kind, priority, state, case when $2 then args else '{}' end, attempt, max_attempts,
       timeout_ms, tags, run_at, created_at,
       limit_key, taken_at, node, percent, message, told_attempt, told_at,
       case when retry is not null then troupe.retry_numbers(retry) end as retry, traceparent
  from troupe.get_job($1)
