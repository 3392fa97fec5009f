-- For `troupe doctor`: what this user would need and does not have. No rows: nothing is missing.
with home as (
  select oid from pg_namespace where nspname = 'troupe'),
parts as (
  select c.oid, c.relname, c.relkind, c.relowner
    from pg_class c join home on c.relnamespace = home.oid
   where c.relkind in ('r', 'p', 'S'))
select 'schema troupe' as object, 'usage' as lacks from home
 where not has_schema_privilege(oid, 'usage')
union all
select 'schema troupe', 'create (for partitions)' from home where not has_schema_privilege(oid, 'create')
union all
select 'table troupe.' || relname, string_agg(wanted, ', ')
  from parts, unnest(array['select', 'insert', 'update', 'delete']) wanted
 where relkind <> 'S' and not has_table_privilege(parts.oid, wanted)
 group by relname
union all
select 'sequence troupe.' || relname, 'usage' from parts
 -- "and" would not keep the function from being asked about tables, which it refuses
 where case when relkind = 'S' then not has_sequence_privilege(oid, 'usage') end
union all
select 'table troupe.' || relname, 'ownership (for partitions)' from parts
 where relkind = 'p' and not pg_has_role(relowner, 'usage')
union all
select 'function troupe.' || p.proname, 'execute'
  from pg_proc p join home on p.pronamespace = home.oid
 where not has_function_privilege(p.oid, 'execute')
 limit 20
