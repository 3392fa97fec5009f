-- For `troupe doctor`: the schema's version, and for how long the first deferred job could have run already.
select (select max(version)::text from troupe.schema_version) as version,
       coalesce(greatest(0, extract(epoch from clock_timestamp() - troupe.next_due()) * 1000)::int8, 0)::text
         as overdue_ms
