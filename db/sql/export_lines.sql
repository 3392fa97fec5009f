-- The jobs of an export as JSON objects behind $10, one a row, by ascending ids; carried out by COPY only. JSON has no
-- control characters of its own, so a row is a line.
select $10::text || '{"id":"' || id || '","queue":' || to_json(queue) || ',"kind":' || to_json(kind)
       || ',"priority":' || priority || ',"state":"' || state || '","args":' || args::text
       || ',"attempt":' || attempt + (state = 'running')::int || ',"max_attempts":' || max_attempts
       || ',"timeout_ms":' || coalesce(timeout_ms::text, 'null') || ',"tags":' || to_json(tags)
       || ',"limit_key":' || coalesce(to_json(limit_key)::text, 'null')
       || ',"run_at":"' || troupe.export_time(run_at) || '","created_at":"' || troupe.export_time(created_at) || '"}'
  from troupe.exported_job
 where ($1::text is null or state = $1)
   and troupe.job_fits($2::text, $3::text, $4::text[], $5::text, $6::timestamptz, $7::timestamptz, $8::jsonb,
                       queue, kind, tags, limit_key, created_at, args)
 order by id limit $9::bigint
