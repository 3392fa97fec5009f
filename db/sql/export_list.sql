-- One page of exports that are kept, or one of them.
-- reads
select id, created_at, args ->> 'format', args ->> 'compression', (args ->> 'limit')::bigint, args ->> 'state', args ->> 'queue',
       args ->> 'kind', array(select t from jsonb_array_elements_text(args -> 'tags') t), args ->> 'limit_key',
       (args ->> 'created_from')::timestamptz, (args ->> 'created_before')::timestamptz, (args -> 'args')::text,
       state, attempt, message, error, kept, bytes, rows, encode(sha256, 'hex'), finished_at, expires_at
  from troupe.list_exports($1, $2, $3, $4)
