-- For `troupe doctor`: indexes that are not usable, left by an interrupted build.
select c.relname
  from pg_index i
  join pg_class c on c.oid = i.indexrelid
  join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = 'troupe' and not (i.indisvalid and i.indisready)
 order by 1
 limit 20
