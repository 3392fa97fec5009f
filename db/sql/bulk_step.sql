-- One step of one operation on many jobs, at most $1 of them; id is null when there is nothing to be done.
select operation, coalesce(action, ''), coalesce(state, ''), matched, changed, queues, running,
       coalesce(error, '')
  from troupe.bulk_step($1)
