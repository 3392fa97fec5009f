-- Jobs that may run now: neither ended nor deferred nor leased.
-- reads
-- by rows
select id, queue, kind, priority, state, args, attempt, max_attempts, timeout_ms,
       coalesce(tags, '{}') as tags, run_at, created_at
  from troupe.jobs
 where id < $1 and ($2::text is null or queue = $2) and ($3::text is null or kind = $3)
   and state = 'available'
 order by id desc
 limit $4
