-- How long what is kept, and how far the cleaning of jobs has come.
-- reads
select queues, completed, cancelled, discarded, more_queues, oldest_job, partitions, looked_low, looked_high,
       looked_to, next_look, expired_at, expired_low, expired_high, expired_jobs, expired_kept, things, things_ms,
       things_known, things_oldest
  from troupe.retention_now($1)
