-- The jobs of a lease of this node whose claim was never answered.
select lease, job_id, attempt, max_attempts, timeout_ms, kind, args,
       case when attempt > 1 then troupe.losses(job_id, attempt) else 0::smallint end as losses, queue
  from troupe.adopt($1, $2)
