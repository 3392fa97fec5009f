-- Queues by name, after one or only that of one name.
-- reads
select name, paused_at, concurrency, version, changed_at, waiting, running, rate,
       rate_period_ms, rate_burst
  from troupe.list_queues($1, $2, $3, $4)
