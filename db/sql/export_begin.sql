-- What a run has to export; nothing when it is late, or no export.
select args ->> 'format', args ->> 'compression', args ->> 'state', args ->> 'queue', args ->> 'kind',
       (args ->> 'limit')::bigint
  from troupe.begin_export($1, $2) args where args is not null
