-- What is asked of the database for metrics, and the trace (W3C Trace Context) that a job belongs to.

-- As troupe.edit_function, for one whose arguments or columns change: it is made anew. Edits are pairs of what
-- stands there once and what comes in its place.
create function troupe.remake_function(p_name text, p_edits text[]) returns void language plpgsql as $$
declare
  which constant oid := case when p_name like '%(%' then ('troupe.' || p_name)::regprocedure::oid
                             else ('troupe.' || p_name)::regproc::oid end;
  made text := pg_get_functiondef(which);
begin
  for i in 1..cardinality(p_edits) by 2 loop
    if length(replace(made, p_edits[i], '')) <> length(made) - length(p_edits[i]) then
      raise exception 'troupe.% does not have this once: %', p_name, p_edits[i];
    end if;
    made := replace(made, p_edits[i], p_edits[i + 1]);
  end loop;
  execute 'drop function ' || which::regprocedure;
  execute made;
end $$;

-- -- traces ------------------------------------------------------------------------------------------

-- A job's is kept in its meta, which is null in jobs without one.
create function troupe.traced(p_traceparent text) returns jsonb language plpgsql immutable as $$
begin
  if p_traceparent is null or p_traceparent = '' then
    return null;
  elsif p_traceparent !~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'
     or p_traceparent ~ '^(ff|..-0{32}|.{36}0{16})' then
    raise exception 'traceparent must be one of W3C Trace Context' using errcode = 'TR400';
  end if;
  return jsonb_build_object('traceparent', p_traceparent);
end $$;

select troupe.remake_function('enqueue_many', array[
  '  if p_retries <> ''{}'' then', '  if p_traceparents <> ''{}'' then -- a function below would cost those without, too
    perform troupe.traced(t) from unnest(p_traceparents) t;
  end if;
  if p_retries <> ''{}'' then',
  'p_has_room boolean DEFAULT false)', 'p_has_room boolean DEFAULT false, p_traceparents text[] DEFAULT NULL::text[])',
  'as id, o, k, q, a, p, m, t, g, lk, rt
        from', 'as id, o, k, q, a, p, m, t, g, lk, rt, tp
        from',
  '                    p_limit_keys, p_retries)
             with ordinality u(k, q, a, p, m, t, g, lk, rt, o)),',
  '                    p_limit_keys, p_retries, p_traceparents)
             with ordinality u(k, q, a, p, m, t, g, lk, rt, tp, o)),',
  '                              retry)
      select id, q, k, a, p, coalesce(m, 20), t, g::text[], lk, rt from given),',
  '                              retry, meta)
      select id, q, k, a, p, coalesce(m, 20), t, g::text[], lk, rt,
             case when tp <> '''' then jsonb_build_object(''traceparent'', tp) end from given),',
  'as id, o, k, q, a, p, m, t, g, lk, rt,
', 'as id, o, k, q, a, p, m, t, g, lk, rt, tp,
',
  '                  p_run_at, p_delays_ms, p_limit_keys, p_retries)
           with ordinality u(k, q, a, p, m, t, g, r, d, lk, rt, o)),',
  '                  p_run_at, p_delays_ms, p_limit_keys, p_retries, p_traceparents)
           with ordinality u(k, q, a, p, m, t, g, r, d, lk, rt, tp, o)),',
  '                            limit_key, retry)
    select id, q, k, a, p, coalesce(m, 20), t, g::text[], due, lk, rt from given),',
  '                            limit_key, retry, meta)
    select id, q, k, a, p, coalesce(m, 20), t, g::text[], due, lk, rt,
           case when tp <> '''' then jsonb_build_object(''traceparent'', tp) end from given),']);

select troupe.remake_function('enqueue_here', array[
  '  if p_retries <> ''{}'' then', '  if p_traceparents <> ''{}'' then -- a function below would cost those without, too
    perform troupe.traced(t) from unnest(p_traceparents) t;
  end if;
  if p_retries <> ''{}'' then',
  'p_retries jsonb[] DEFAULT NULL::jsonb[])',
  'p_retries jsonb[] DEFAULT NULL::jsonb[], p_traceparents text[] DEFAULT NULL::text[])',
  'p_retries)) u(i);', 'p_retries, p_traceparents => p_traceparents)) u(i);',
  '                                   retry)
', '                                   retry, meta)
',
  'u.g::text[], u.lk, u.rt
', 'u.g::text[], u.lk, u.rt,
             case when u.tp <> '''' then jsonb_build_object(''traceparent'', u.tp) end
',
  'p_limit_keys, p_retries)
             u(i, k, q, a, p, m, t, g, lk, rt)', 'p_limit_keys, p_retries, p_traceparents)
             u(i, k, q, a, p, m, t, g, lk, rt, tp)']);

-- What was asked under an idempotency key is the same in whatever trace it is asked again.
select troupe.remake_function('enqueue_keyed', array[
  'p_retries jsonb[] DEFAULT NULL::jsonb[], OUT',
  'p_retries jsonb[] DEFAULT NULL::jsonb[], p_traceparents text[] DEFAULT NULL::text[], OUT',
  'p_retries[i] := p_retries[k]; end if;
', 'p_retries[i] := p_retries[k]; end if;
      if p_traceparents is not null then p_traceparents[i] := p_traceparents[k]; end if;
',
  'then array_agg(rt order by o) end, true)',
  'then array_agg(rt order by o) end, true,
             case when p_traceparents is not null then array_agg(tp order by o) end)',
  'p_limit_keys, p_retries, acts)
           with ordinality u(k, q, a, p, m, t, g, w, d, lk, rt, x, o)',
  'p_limit_keys, p_retries, acts, p_traceparents)
           with ordinality u(k, q, a, p, m, t, g, w, d, lk, rt, x, tp, o)',
  'p_limit_keys[k], p_retries[k]);', 'p_limit_keys[k], p_retries[k], p_traceparents[k]);']);

select troupe.remake_function('replace_job', array[
  'p_retry jsonb)', 'p_retry jsonb, p_traceparent text DEFAULT NULL::text)',
  'retry = p_retry
', 'retry = p_retry, meta = troupe.traced(p_traceparent)
']);

select troupe.remake_function('enqueue', array[
  'retry jsonb DEFAULT NULL::jsonb)', 'retry jsonb DEFAULT NULL::jsonb, traceparent text DEFAULT NULL::text)',
  'case when retry is not null then array[retry] end;
', 'case when retry is not null then array[retry] end;
  traces constant text[] := case when traceparent is not null then array[traceparent] end;
',
  'limit_keys, retries))[1];', 'limit_keys, retries, p_traceparents => traces))[1];',
  'p_retries => retries) e);', 'p_retries => retries, p_traceparents => traces) e);']);

select troupe.remake_function('take', array[
  'again boolean, retry jsonb)', 'again boolean, retry jsonb, traceparent text)',
  'null::boolean, j.retry
            from unnest(firsts', 'null::boolean, j.retry, j.meta ->> ''traceparent''
            from unnest(firsts',
  'null::boolean, j.retry
            from unnest(ids', 'null::boolean, j.retry, j.meta ->> ''traceparent''
            from unnest(ids']);
select troupe.remake_function('take_keyed', array[
  'again boolean, retry jsonb)', 'again boolean, retry jsonb, traceparent text)',
  'true, j.retry
        from', 'true, j.retry, j.meta ->> ''traceparent''
        from',
  'true, j.retry
      from', 'true, j.retry, j.meta ->> ''traceparent''
      from']);
select troupe.remake_function('take_ordered', array[
  'again boolean, retry jsonb)', 'again boolean, retry jsonb, traceparent text)',
  'false, j.retry
', 'false, j.retry, j.meta ->> ''traceparent''
']);
select troupe.remake_function('claim_by_worker', array[
  'again boolean)', 'again boolean, traceparent text)',
  'again := c.again;', 'again := c.again; traceparent := c.traceparent;']);
select troupe.remake_function('leased_jobs', array[
  'retry jsonb)', 'retry jsonb, traceparent text)',
  'j.args, j.retry
', 'j.args, j.retry, j.meta ->> ''traceparent''
']);
select troupe.remake_function('adopt', array[
  'retry jsonb)', 'retry jsonb, traceparent text)',
  'j.queue, j.retry
', 'j.queue, j.retry, j.meta ->> ''traceparent''
']);
select troupe.remake_function('get_job', array[
  'told_at timestamp with time zone)', 'told_at timestamp with time zone, traceparent text)',
  'p.attempt, p.updated_at
', 'p.attempt, p.updated_at, j.meta ->> ''traceparent''
']);
select troupe.remake_function('get_jobs', array[
  'told_at timestamp with time zone)', 'told_at timestamp with time zone, traceparent text)',
  'p.attempt, p.updated_at
', 'p.attempt, p.updated_at, j.meta ->> ''traceparent''
']);

do $$
declare
  before constant text := pg_get_viewdef('troupe.jobs'::regclass);
begin
  if before not like '%j.retry
   FROM%' then
    raise exception 'the view troupe.jobs is not as it was';
  end if;
  execute 'create or replace view troupe.jobs as '
    || replace(before, 'j.retry', 'j.retry, j.meta ->> ''traceparent'' as traceparent');
end $$;

-- -- measures ----------------------------------------------------------------------------------------

-- As before, and how many leases the node had.
select troupe.remake_function('rescue', array[
  'OUT queues text[])', 'OUT queues text[], OUT leases bigint)',
  'queues := ''{}'';
  select', 'queues := ''{}''; leases := 0;
  select',
  '(select array_agg(n.attempt) from again n)
', '(select array_agg(n.attempt) from again n),
         (select count(*) from gone)
',
  'into lost, quarantined, ids, nths;', 'into lost, quarantined, ids, nths, leases;']);

-- Of the first queues by name, for how long the oldest job that may run could have run; 0: there is none. Looked
-- for is the first entry of each lane that was not revoked, among a thousand, and of a job's first attempt: when a
-- later one became ready is not written down. What waits for its key (parked) may not run.
create function troupe.measure(p_queues int, out queues text[], out ages double precision[], out tables text[],
                               out dead bigint[], out oldest_transaction double precision)
language plpgsql stable set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
begin
  with known as materialized (
    select k.name from (select distinct l.queue as name from troupe.known_lane l
                        union
                        select q.name from troupe.queue q) k
     order by k.name limit p_queues),
  waiting as (
    select k.name, min(greatest(j.created_at, j.run_at)) as since
      from known k
      join troupe.lane_now l on l.queue = k.name
     cross join lateral (
       (select f.i
          from (select r.xact, r.seq, r.job_id, r.jobs, r.attempt from troupe.ready r
                 where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq)
                 order by r.xact, r.seq limit 1000) e
         cross join lateral (
           select i from generate_series(
             e.job_id + case when (e.xact, e.seq) = (l.xact, l.seq + 1) then l.part else 0 end,
             e.job_id + e.jobs - 1) i
            where not exists (select from troupe.revoked v where v.job_id = i and v.attempt = e.attempt)
            limit 1) f
         where e.attempt = 1
         order by e.xact, e.seq limit 1)
       union all -- and of writers that the cursor has passed while they were open
       (select f.i
          from unnest(l.open || l.draining) o(writer)
         cross join lateral (
           select r.xact, r.seq, r.job_id, r.jobs, r.attempt from troupe.ready r
            where r.lane = l.id and r.xact = o.writer
              and (o.writer <> all (l.draining) or (r.xact, r.seq) > (l.late_xact, l.late_seq))
            order by r.xact, r.seq limit 1000) e
         cross join lateral (
           select i from generate_series(
             e.job_id + case when (e.xact, e.seq) = (l.late_xact, l.late_seq + 1) then l.late_part else 0 end,
             e.job_id + e.jobs - 1) i
            where not exists (select from troupe.revoked v where v.job_id = i and v.attempt = e.attempt)
            limit 1) f
         where e.attempt = 1
         limit 1)) first
      join troupe.job j on j.id = first.i
     group by k.name)
  select coalesce(array_agg(k.name order by k.name), '{}'),
         coalesce(array_agg(greatest(0, coalesce(extract(epoch from clock_timestamp() - w.since), 0))
                            order by k.name), '{}')
    into queues, ages
    from known k left join waiting w on w.name = k.name;
  -- Tables that are about to become partitions are nobody's yet.
  select coalesce(array_agg(x.name order by x.name), '{}'), coalesce(array_agg(x.dead order by x.name), '{}')
    into tables, dead
    from (select coalesce(pg_partition_root(c.oid), c.oid)::regclass::text as name,
                 sum(pg_stat_get_dead_tuples(c.oid))::bigint as dead
            from pg_class c
           where c.relnamespace = 'troupe'::regnamespace and c.relkind = 'r' and c.relname !~ '_next$'
           group by 1) x;
  tables := array(select regexp_replace(t, '^troupe\.', '') from unnest(tables) with ordinality u(t, o) order by o);
  oldest_transaction := greatest(0,
    (select max(extract(epoch from clock_timestamp() - a.xact_start)) from pg_stat_activity a
      where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'),
    (select max(extract(epoch from clock_timestamp() - x.prepared)) from pg_prepared_xacts x
      where x.database = current_database()));
end $$;
