-- The jobs of an export as columns, by ascending ids; carried out by COPY only.
select id, queue, kind, priority, state, args, attempt + (state = 'running')::int as attempt, max_attempts, timeout_ms,
       to_json(tags) as tags, limit_key, troupe.export_time(run_at) as run_at,
       troupe.export_time(created_at) as created_at
  from troupe.exported_job
 where ($1::text is null or state = $1)
   and troupe.job_fits($2::text, $3::text, $4::text[], $5::text, $6::timestamptz, $7::timestamptz, $8::jsonb,
                       queue, kind, tags, limit_key, created_at, args)
 order by id limit $9::bigint
