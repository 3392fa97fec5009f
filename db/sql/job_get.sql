-- One job with its state.
-- reads
select id, queue, kind, priority, state, args, g.attempt, max_attempts, timeout_ms, tags, run_at, created_at,
       limit_key, taken_at, node, p.percent, p.message, p.attempt, p.updated_at,
       case when g.retry is not null then troupe.retry_numbers(g.retry) end as retry
  from troupe.get_job($1) g
  left join troupe.progress_of($1) p on true
