-- Several jobs by one statement, for callers that ask at the same time. A statement for one takes 100 us of
-- which little is the job; twenty by one take 350.
--
-- What runs is read once for all of them: leases have no index by job. For one job alone, get_job looks
-- into each lease without taking it apart.
create function troupe.get_jobs(p_jobs bigint[])
  returns table (id bigint, queue text, kind text, priority smallint, state text, args jsonb, attempt int,
                 max_attempts smallint, timeout_ms bigint, tags text[], run_at timestamptz, created_at timestamptz,
                 taken_at timestamptz, node text, limit_key text, retry jsonb, percent double precision,
                 message text, told_attempt smallint, told_at timestamptz)
  language plpgsql stable
  set plan_cache_mode = force_generic_plan
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set enable_seqscan = off
  set jit = off as $$
#variable_conflict use_column
begin
  return query
  with run as materialized (
    select u.i, u.n_attempt, l.taken_at, n.name as node
      from troupe.lease l cross join unnest(l.jobs, l.attempts) u(i, n_attempt)
      join troupe.node n on n.id = l.node
     where u.i = any (p_jobs))
  select j.id, j.queue, j.kind, j.priority,
         case when d.job_id is not null
                then case d.reason when 2 then 'retryable' else 'scheduled' end
              when a.outcome in (1, 2, 3) and not a.reopened
                then (array['completed', 'cancelled', 'discarded'])[a.outcome]
              when r.taken_at is not null then 'running'
              else 'available' end as state,
         j.args, case when r.taken_at is not null then coalesce(a.attempt, 0) + 1
                      else coalesce(a.attempt, 0) end as attempt,
         j.max_attempts, j.timeout_ms, coalesce(j.tags, '{}') as tags,
         coalesce(d.due_at, j.run_at, j.created_at) as run_at, j.created_at, r.taken_at, r.node, j.limit_key,
         j.retry, p.percent, p.message, p.attempt, p.updated_at
    from unnest(p_jobs) w(id)
    join troupe.job j on j.id = w.id
    left join troupe.deferred d on d.job_id = j.id
    left join lateral (
      select * from troupe.attempt t where t.job_id = j.id order by t.attempt desc limit 1) a on true
    left join run r on r.i = j.id and r.n_attempt = coalesce(a.attempt, 0) + 1
    left join troupe.progress p on p.job_id = j.id;
end $$;

create function troupe.attempts_of(p_jobs bigint[])
  returns table (attempt smallint, outcome smallint, node text, started_at timestamptz, finished_at timestamptz,
                 result jsonb, error text, job_id bigint)
  language plpgsql stable
  set plan_cache_mode = force_generic_plan
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set enable_seqscan = off
  set jit = off as $$
#variable_conflict use_column
begin
  return query
  select a.attempt, a.outcome, coalesce(n.name, '') as node, a.started_at, a.finished_at, a.result, a.error, w.id
    from unnest(p_jobs) with ordinality w(id, o)
    cross join lateral (
      select * from troupe.attempt t where t.job_id = w.id order by t.attempt limit 2000) a
    left join troupe.node n on n.id = a.node
   order by w.o, a.attempt;
end $$;
