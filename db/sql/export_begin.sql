-- What a run has to export; nothing when it is late, or no export.
select args ->> 'format', args ->> 'compression', (args ->> 'limit')::bigint, args ->> 'state', args ->> 'queue',
       args ->> 'kind', array(select t from jsonb_array_elements_text(args -> 'tags') t), args ->> 'limit_key',
       (args ->> 'created_from')::timestamptz, (args ->> 'created_before')::timestamptz, (args -> 'args')::text
  from troupe.begin_export($1, $2) args where args is not null
