-- Scheduled (reasons 1 and 3) or retryable (2) jobs.
-- reads
-- by rows
select id, queue, kind, priority, state, args, attempt, max_attempts, timeout_ms,
       coalesce(tags, '{}') as tags, run_at, created_at
  from troupe.jobs
 where id in (select d.job_id from troupe.deferred d join troupe.job j on j.id = d.job_id
               where d.job_id < $1 and (d.reason = 2) = $5
                 and ($2::text is null or j.queue = $2) and ($3::text is null or j.kind = $3)
               order by d.job_id desc limit $4)
 order by id desc
