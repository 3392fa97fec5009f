-- For `troupe doctor`: what has been open in this database for more than a minute, oldest first. While
-- it pins a snapshot, no row that died since can be removed.
select who, state, seconds::text, pins::text from (
  select 'session ' || pid || ' of ' || coalesce(usename, '?')
           || coalesce(' (' || nullif(application_name, '') || ')', '') as who,
         coalesce(state, '?') as state,
         extract(epoch from clock_timestamp() - xact_start)::int8 as seconds,
         backend_xmin is not null or backend_xid is not null as pins
    from pg_stat_activity
   where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null
  union all
  select 'prepared transaction ' || gid || ' of ' || owner, 'prepared',
         extract(epoch from clock_timestamp() - prepared)::int8, true
    from pg_prepared_xacts where database = current_database()
) open_now
 where seconds > 60
 order by open_now.seconds desc -- the number, not its text
 limit 20
