-- One batch for a node.
select lease, job_id, attempt, max_attempts, timeout_ms, kind, args from troupe.claim($1, $2, $3)
