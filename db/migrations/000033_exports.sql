-- Jobs for exports: every job with its state as in troupe.jobs, but by joins that read each table once in the
-- order of ids. The view makes a look-up for each job, which for a million of them takes twice as long. It is
-- read with the plans that db/sql/export_plans.sql leaves.

-- As the API writes times.
create function troupe.export_time(p_time timestamptz) returns text
language sql stable as $$ select btrim(to_json(p_time at time zone 'UTC')::text, '"') || 'Z' $$;

create view troupe.exported_job as
select j.id, j.queue, j.kind, j.priority,
       case when d.job_id is not null
              then case d.reason when 2 then 'retryable' else 'scheduled' end
            when a.last & 1 = 0 and a.last & 14 <= 6
              then (array['completed', 'cancelled', 'discarded'])[(a.last & 14) / 2]
            when r.attempt = coalesce(a.last >> 4, 0) + 1 then 'running'
            else 'available' end as state,
       j.args, coalesce(a.last >> 4, 0) as attempt, j.max_attempts, j.timeout_ms, coalesce(j.tags, '{}') as tags,
       j.limit_key, coalesce(d.due_at, j.run_at, j.created_at) as run_at, j.created_at
  from troupe.job j
  left join troupe.deferred d on d.job_id = j.id
  -- The last attempt with what is asked of it, in one number: a maximum of a group in order keeps no rows.
  left join (select t.job_id, max(t.attempt * 16 + t.outcome * 2 + t.reopened::int) as last
               from troupe.attempt t group by t.job_id) a on a.job_id = j.id
  -- A lease that is not done yet may still name an earlier attempt.
  left join (select u.i, max(u.n) as attempt from troupe.lease l, unnest(l.jobs, l.attempts) u(i, n) group by u.i) r
    on r.i = j.id;
