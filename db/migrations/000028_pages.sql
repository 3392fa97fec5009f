-- Pages of jobs that lie close together, as most do, are read by ranges of ids, one for each table; to look
-- up 51 jobs one by one took three times as long. And a single job comes with its progress.

alter function troupe.list_jobs(text, bigint, text, text, bigint) set enable_mergejoin = on;
alter function troupe.list_jobs(text, bigint, text, text, bigint) set enable_nestloop = off;
select troupe.edit_function('list_jobs', $old$
  ids bigint[];
$old$, $new$
  -- Ids of the range for one of the page: to read one is about so much cheaper than to look one up.
  spread constant int := 4;
  ids bigint[];
  low bigint;
  high bigint;
$new$);
select troupe.edit_function('list_jobs', $old$
  return query select * from troupe.jobs_of(ids);
$old$, $new$
  low := ids[cardinality(ids)];
  high := ids[1];
  if low is null then
    return;
  elsif high - low >= spread * cardinality(ids) then
    return query select * from troupe.jobs_of(ids);
    return;
  end if;
  return query
  select j.id, j.queue, j.kind, j.priority,
         case when d.job_id is not null
                then case d.reason when 2 then 'retryable' else 'scheduled' end
              when a.outcome in (1, 2, 3) and not a.reopened
                then (array['completed', 'cancelled', 'discarded'])[a.outcome]
              when r.i is not null then 'running'
              else 'available' end,
         j.args, coalesce(a.attempt, 0::smallint), j.max_attempts, j.timeout_ms,
         coalesce(j.tags, '{}'), coalesce(d.due_at, j.run_at, j.created_at), j.created_at, j.limit_key
    from troupe.job j
    left join troupe.deferred d on d.job_id = j.id and d.job_id >= low and d.job_id <= high
    left join (
      select distinct on (t.job_id) t.job_id, t.attempt, t.outcome, t.reopened
        from troupe.attempt t where t.job_id >= low and t.job_id <= high
       order by t.job_id desc, t.attempt desc) a on a.job_id = j.id
    left join (
      select u.i, u.n from troupe.lease l, unnest(l.jobs, l.attempts) u(i, n)
       where u.i >= low and u.i <= high) r on r.i = j.id and r.n = coalesce(a.attempt, 0) + 1
   where j.id >= low and j.id <= high
     and case when p_state is null -- and then whatever is in the range; else a hash, and not a join of loops
                then (p_queue is null or j.queue = p_queue) and (p_kind is null or j.kind = p_kind)
              else j.id in (select unnest(ids)) end
   order by j.id desc;
$new$);

drop function troupe.get_job(bigint);
create function troupe.get_job(p_job bigint)
returns table (
  id bigint, queue text, kind text, priority smallint, state text, args jsonb, attempt int,
  max_attempts smallint, timeout_ms bigint, tags text[], run_at timestamptz, created_at timestamptz,
  taken_at timestamptz, node text, limit_key text, retry jsonb, percent float8, message text,
  told_attempt smallint, told_at timestamptz)
language plpgsql stable rows 1
set plan_cache_mode = force_generic_plan set enable_bitmapscan = off set enable_hashjoin = off
set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
begin
  return query
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
    from troupe.job j
    left join troupe.deferred d on d.job_id = p_job
    left join (
      select * from troupe.attempt t where t.job_id = p_job order by t.attempt desc limit 1) a on true
    left join lateral (
      select l.taken_at, n.name as node
        from troupe.lease l, unnest(l.jobs, l.attempts) u(i, n_attempt), troupe.node n
       where l.jobs @> array[p_job] and u.i = p_job and u.n_attempt = coalesce(a.attempt, 0) + 1
         and n.id = l.node
       limit 1) r on true
    left join troupe.progress p on p.job_id = p_job
   where j.id = p_job;
end $$;
