-- Jobs in a lease whose attempt has no outcome yet.
-- reads
-- by rows
select id, queue, kind, priority, state, args, attempt, max_attempts, timeout_ms,
       coalesce(tags, '{}') as tags, run_at, created_at
  from troupe.jobs
 where id in (select u.i from troupe.lease l, unnest(l.jobs, l.attempts) u(i, n), troupe.job j
               where u.i < $1 and j.id = u.i
                 and ($2::text is null or j.queue = $2) and ($3::text is null or j.kind = $3)
                 and not exists (select from troupe.attempt a where a.job_id = u.i and a.attempt = u.n)
               order by u.i desc limit $4)
 order by id desc
