-- Does the database answer, is it in order, and does somebody move the deferred jobs when they are due?
-- timeout: 3s
select pg_is_in_recovery() as in_recovery,
       current_setting('fsync')::bool and current_setting('full_page_writes')::bool
         and current_setting('synchronous_commit') <> 'off' as durable,
       (select max(version) from troupe.schema_version) as schema_version,
       clock_timestamp() as now,
       current_setting('transaction_read_only')::bool as read_only,
       coalesce(greatest(0, extract(epoch from clock_timestamp() - troupe.next_due()) * 1000)::int8, 0) as overdue_ms
