-- Counts of jobs by queue and state; queues by name, after one or only that of one name.
-- reads
select queue, scheduled, available, running, retryable, completed, cancelled, discarded
  from troupe.list_counts($1, $2, $3)
