-- Does the database answer, and is it in order?
-- timeout: 3s
select pg_is_in_recovery() as in_recovery,
       current_setting('fsync')::bool and current_setting('full_page_writes')::bool
         and current_setting('synchronous_commit') <> 'off' as durable,
       (select max(version) from troupe.schema_version) as schema_version,
       clock_timestamp() as now
