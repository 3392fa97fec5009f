-- The jobs of a lease of this node whose claim was never answered.
select a.lease, a.job_id, a.attempt, a.max_attempts, a.timeout_ms, a.kind, a.args,
       case when a.attempt > 1 then troupe.losses(a.job_id, a.attempt) else 0::smallint end as losses,
       p.permits, p.changed, a.queue,
       case when a.retry is not null then troupe.retry_numbers(a.retry) end as retry,
       null::bigint as wait_ms, null::boolean as again, a.traceparent
  from troupe.adopt($1, $2) a left join troupe.permit p on p.node = $1 and p.queue = a.queue
