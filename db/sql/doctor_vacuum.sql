-- For `troupe doctor`: how far transaction numbers have come since rows were last frozen, and tables of
-- ours whose autovacuum somebody has switched off.
select age(d.datfrozenxid)::text as transactions,
       coalesce((select string_agg(c.relname, ', ' order by c.relname)
                   from pg_class c join pg_namespace n on n.oid = c.relnamespace
                  where n.nspname = 'troupe'
                    and exists (select from unnest(c.reloptions) o
                                 where o ~* '^autovacuum_enabled=(off|false|no|0)$')), '') as without
  from pg_database d
 where d.datname = current_database()
