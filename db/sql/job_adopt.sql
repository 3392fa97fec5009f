-- The jobs of a lease of this node whose claim was never answered.
select lease, job_id, attempt, max_attempts, timeout_ms, kind, args, queue from troupe.adopt($1, $2)
