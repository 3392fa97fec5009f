-- One batch for a node.
select lease, job_id, attempt, max_attempts, timeout_ms, kind, args,
       case when attempt > 1 then troupe.losses(job_id, attempt) else 0::smallint end as losses
  from troupe.claim($1, $2, $3)
