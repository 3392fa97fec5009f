-- The jobs of a claim that gave only their ids.
select $1::bigint as lease, j.job_id, j.attempt, j.max_attempts, j.timeout_ms, j.kind, j.args,
       case when j.attempt > 1 then troupe.losses(j.job_id, j.attempt) else 0::smallint end as losses,
       null::integer as permits, null::bigint as permits_changed, null::text as queue,
       case when j.retry is not null then troupe.retry_numbers(j.retry) end as retry,
       null::bigint as wait_ms, null::boolean as again, j.traceparent
  from troupe.leased_jobs($2::text::jsonb) j
