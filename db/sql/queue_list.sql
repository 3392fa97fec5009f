-- Queues by name, after one or only that of one name.
-- reads
select name, paused_at, concurrency, version, changed_at, waiting, running, rate,
       rate_period_ms, rate_burst, key_concurrency, key_rate, key_rate_period_ms, key_rate_burst, ordered,
       max_waiting
  from troupe.list_queues($1, $2, $3)
