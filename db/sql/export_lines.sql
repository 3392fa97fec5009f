-- The jobs of an export as JSON objects behind $5, one a row, by ascending ids; carried out by COPY only. JSON has no
-- control characters of its own, so a row is a line.
select $5::text || '{"id":"' || id || '","queue":' || to_json(queue) || ',"kind":' || to_json(kind)
       || ',"priority":' || priority || ',"state":"' || state || '","args":' || args::text
       || ',"attempt":' || attempt + (state = 'running')::int || ',"max_attempts":' || max_attempts
       || ',"timeout_ms":' || coalesce(timeout_ms::text, 'null') || ',"tags":' || to_json(tags)
       || ',"limit_key":' || coalesce(to_json(limit_key)::text, 'null')
       || ',"run_at":"' || troupe.export_time(run_at) || '","created_at":"' || troupe.export_time(created_at) || '"}'
  from troupe.exported_job
 where ($1::text is null or state = $1) and ($2::text is null or queue = $2) and ($3::text is null or kind = $3)
 order by id limit $4::bigint
