-- Jobs of any state, newest first, below an id.
-- reads
-- by rows
select id, queue, kind, priority, state, args, attempt, max_attempts, timeout_ms,
       coalesce(tags, '{}') as tags, run_at, created_at
  from troupe.jobs
 where id < $1 and ($2::text is null or queue = $2) and ($3::text is null or kind = $3)
 order by id desc
 limit $4
