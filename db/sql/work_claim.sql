-- One batch of one queue; a row without a lease when there is none. `quiet`: whatever waits there is none for this
-- worker, as it stands once the claim is made.
select lease, job_id, attempt, max_attempts, timeout_ms, kind, args, priority, tags, limit_key, created_at, wait_ms,
       again, traceparent, case when job_id is null then troupe.is_quiet($1) end as quiet
  from troupe.claim_by_worker($1, $2, $3, $4, $5)
