-- For `troupe doctor`: how many sessions there may be, and how many there are. -1: no limit.
select (current_setting('max_connections')::int
          - current_setting('superuser_reserved_connections')::int)::text as server_limit,
       (select count(*)::text from pg_stat_activity where backend_type = 'client backend') as server_used,
       (select datconnlimit::text from pg_database where datname = current_database()) as database_limit,
       (select count(*)::text from pg_stat_activity
         where backend_type = 'client backend' and datname = current_database()) as database_used,
       (select rolconnlimit::text from pg_roles where rolname = current_user) as role_limit,
       (select count(*)::text from pg_stat_activity
         where backend_type = 'client backend' and usename = current_user) as role_used
