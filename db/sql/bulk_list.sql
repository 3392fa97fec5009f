-- One page of operations on many jobs, newest first. Below $1 (0: from the newest), at most $2.
select b.id, b.action, b.state, b.filter, coalesce(cardinality(b.ids), 0)::bigint, b.queue, b.priority,
       b.created_by, b.created_at, b.ended_at, b.matched, b.changed, b.skipped, b.reached, b.up_to, b.failures,
       coalesce(b.error, '')
  from troupe.bulk_operation b where $1::bigint = 0 or b.id < $1 order by b.id desc limit $2::int
