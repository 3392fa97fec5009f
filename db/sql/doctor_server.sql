-- For `troupe doctor`: who and where we are. One row, on any database.
select current_setting('server_version') as version,
       current_database() as database,
       current_user as who,
       pg_backend_pid()::text as pid,
       pg_is_in_recovery()::text as in_recovery,
       (extract(epoch from clock_timestamp()) * 1000000)::int8::text as now_us,
       pg_has_role('pg_read_all_stats', 'usage')::text as sees_others,
       has_database_privilege(current_database(), 'create')::text as may_create,
       -- to_regclass would need the right to look into the schema.
       exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where n.nspname = 'troupe' and c.relname = 'schema_version')::text as has_schema
