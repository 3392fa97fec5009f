-- One operation on many jobs.
select b.id, b.action, b.state, b.filter, coalesce(cardinality(b.ids), 0)::bigint, b.queue, b.priority,
       b.created_by, b.created_at, b.ended_at, b.matched, b.changed, b.skipped, b.reached, b.up_to, b.failures,
       coalesce(b.error, '')
  from troupe.bulk_operation b where b.id = $1
