-- One page of exports that are kept, or one of them.
-- reads
select id, created_at, args ->> 'format', args ->> 'compression', args ->> 'state', args ->> 'queue', args ->> 'kind',
       (args ->> 'limit')::bigint, state, attempt, message, error, kept, bytes, rows, encode(sha256, 'hex'), finished_at,
       expires_at
  from troupe.list_exports($1, $2, $3, $4)
