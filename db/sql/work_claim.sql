-- One batch of one queue; a row without a lease when there is none.
select lease, job_id, attempt, max_attempts, timeout_ms, kind, args, priority, tags, limit_key, created_at, wait_ms,
       again, traceparent
  from troupe.claim_by_worker($1, $2, $3, $4, $5)
