-- As job_find, without the args.
-- reads
-- by rows
select j.id, j.queue, j.kind, j.priority, j.state, '{}'::jsonb, j.attempt, j.max_attempts, j.timeout_ms, j.tags, j.run_at,
       j.created_at, j.limit_key, j.node, j.taken_at, f.next
  from troupe.find_jobs($1, $9, $2, $3, $4, $5, $6, $7, $8, $10, $11, $12) f
  left join lateral troupe.jobs_of(f.ids) j on true
 order by j.id desc
