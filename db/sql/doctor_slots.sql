-- For `troupe doctor`: replication slots that keep dead rows because nobody has read on.
select slot_name, greatest(age(xmin), age(catalog_xmin))::text as transactions
  from pg_replication_slots
 where not active and (xmin is not null or catalog_xmin is not null)
 order by greatest(age(xmin), age(catalog_xmin)) desc
 limit 20
