-- Cancelled (2) or discarded (3) jobs, by their partial index.
-- reads
-- by rows
select id, queue, kind, priority, state, args, attempt, max_attempts, timeout_ms,
       coalesce(tags, '{}') as tags, run_at, created_at
  from troupe.jobs
 where id in (select a.job_id from troupe.attempt a join troupe.job j on j.id = a.job_id
               where a.outcome in (2, 3) and not a.reopened and a.outcome = $5 and a.job_id < $1
                 and ($2::text is null or j.queue = $2) and ($3::text is null or j.kind = $3)
               order by a.job_id desc limit $4)
 order by id desc
