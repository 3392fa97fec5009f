-- How runs ended, each for itself, fenced by its lease; and what is told of them when that is asked for.
select fates, next_ms, steered, told_jobs, told_ms, told_outcomes, told_queues, told_kinds, told_traces
  from troupe.finish_by_worker($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
