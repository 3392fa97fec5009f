-- One batch for a node; one row without a lease when there is none. wait_ms is the time until the queue's
-- rates allow the next job; again is null unless its keys are limited, it is ordered or nothing but revoked
-- entries was met, and then says whether to ask on. With a lease but no job, args are what job_leased takes.
select c.lease, c.job_id, c.attempt, c.max_attempts, c.timeout_ms, c.kind, c.args,
       case when c.attempt > 1 then troupe.losses(c.job_id, c.attempt) else 0::smallint end as losses,
       c.permits, c.permits_changed, null::text as queue,
       case when c.retry is not null then troupe.retry_numbers(c.retry) end as retry,
       (select troupe.claim_wait_ms($2)) as wait_ms, c.again, c.traceparent
  from (select) as once left join troupe.take($1, $2, $3, $4, $5, true) c on true
