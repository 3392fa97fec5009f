-- A retry policy of a job's own: when its failed attempts are tried again, in place of what its kind says.
-- It is stored as it was given, checked when it is, and read only where an attempt has failed.

alter table troupe.job add column retry jsonb;

-- What may be said is messages/retry_policy.hpp's: {"policy": "exponential", "base_ms": 1000,
-- "max_ms": 21600000, "jitter_percent": 25}, {"policy": "fixed", "delay_ms": 5000},
-- {"policy": "list", "delays_ms": [0, 1000]} or {"policy": "none"}.
create function troupe.check_retry(p_retry jsonb) returns void language plpgsql immutable as $$
declare
  most constant bigint := 315360000000;
  policy constant text := case jsonb_typeof(p_retry) when 'object' then p_retry ->> 'policy' end;
  allowed constant text[] := case policy when 'exponential' then '{policy,base_ms,max_ms,jitter_percent}'
    when 'fixed' then '{policy,delay_ms}' when 'list' then '{policy,delays_ms}' when 'none' then '{policy}' end;
  name text;
  given jsonb;
  fault text;
begin
  if jsonb_typeof(p_retry) is distinct from 'object' then
    raise exception 'retry must be an object' using errcode = 'TR400';
  elsif allowed is null then
    raise exception 'retry.policy must be exponential, fixed, list or none' using errcode = 'TR400';
  end if;
  for name, given in select * from jsonb_each(p_retry) loop
    fault := case
      when name = 'policy' then null
      when name <> all (allowed) then
        format('no such field; %s has %s', policy, array_to_string(allowed, ', '))
      when name = 'delays_ms' then case when not case jsonb_typeof(given)
          when 'array' then jsonb_array_length(given) between 1 and 32
            and not exists (select from jsonb_array_elements(given) d where not troupe.is_whole(d, most))
          else false end then format('must be 1 to 32 integers from 0 to %s', most) end
      when name = 'jitter_percent' then case
        when not troupe.is_whole(given, 100) then 'must be an integer from 0 to 100' end
      when not troupe.is_whole(given, most) then format('must be an integer from 0 to %s', most) end;
    if fault is not null then
      raise exception 'retry.%: %', left(name, 64), fault using errcode = 'TR400';
    end if;
  end loop;
  if policy = 'fixed' and not p_retry ? 'delay_ms' then
    raise exception 'retry.delay_ms: is required' using errcode = 'TR400';
  elsif policy = 'list' and not p_retry ? 'delays_ms' then
    raise exception 'retry.delays_ms: is required' using errcode = 'TR400';
  elsif policy = 'exponential' and coalesce((p_retry ->> 'max_ms')::numeric, 21600000)
                                   < coalesce((p_retry ->> 'base_ms')::numeric, 1000) then
    raise exception 'retry.max_ms: must not be less than base_ms' using errcode = 'TR400';
  end if;
end $$;

create function troupe.is_whole(p_value jsonb, p_most bigint)
returns boolean language plpgsql immutable as $$
begin
  return case jsonb_typeof(p_value)
    when 'number' then (p_value #>> '{}')::numeric between 0 and p_most
                       and (p_value #>> '{}')::numeric = trunc((p_value #>> '{}')::numeric)
    else false end;
end $$;

-- Of those that are given with many jobs.
create function troupe.check_retries(p_retries jsonb[]) returns void language plpgsql immutable as $$
begin
  perform troupe.check_retry(d.r) from (select distinct r from unnest(p_retries) r where r is not null) d;
end $$;

-- The same policy in numbers, for the engine's nodes: 1, base, most and percent of an exponential one, or 2 and
-- the pauses.
create function troupe.retry_numbers(p_retry jsonb) returns bigint[] language sql immutable as $$
  select case p_retry ->> 'policy'
    when 'exponential' then array[1, coalesce((p_retry ->> 'base_ms')::numeric, 1000),
                                  coalesce((p_retry ->> 'max_ms')::numeric, 21600000),
                                  coalesce((p_retry ->> 'jitter_percent')::numeric, 25)]::bigint[]
    when 'fixed' then array[2, (p_retry ->> 'delay_ms')::numeric]::bigint[]
    when 'list' then array(select 2 union all
                           select d::numeric::bigint from jsonb_array_elements_text(p_retry -> 'delays_ms') d)
    when 'none' then array[2::bigint] end;
$$;

-- The pause after this attempt has failed, in milliseconds; null: no other follows. As retry_policy::after in
-- messages/retry_policy.hpp, from any uniform number of 32 bits.
create function troupe.retry_pause(p_retry jsonb, p_attempt int, p_random bigint)
returns bigint language plpgsql immutable as $$
declare
  n constant bigint[] := troupe.retry_numbers(p_retry);
  pauses constant int := cardinality(n) - 1;
  pause bigint;
begin
  if n[1] = 2 then
    return case when pauses > 0 then n[1 + least(greatest(p_attempt, 1), pauses)] end;
  end if;
  pause := least(n[3], n[2]::numeric * 2 ^ least(greatest(p_attempt - 1, 0), 40));
  return pause - pause * n[4] / 100 + p_random % (pause * n[4] / 50 + 1);
end $$;

-- -- storing ---------------------------------------------------------------------------------------

-- As it was, with policies of the jobs' own; so are those that follow.
drop function troupe.enqueue_many(text[], text[], jsonb[], smallint[], smallint[], bigint[], text[],
                                  timestamptz[], bigint[], text[]);
create function troupe.enqueue_many(p_kinds text[], p_queues text[], p_args jsonb[], p_priorities
  smallint[], p_max_attempts smallint[] default null, p_timeouts_ms bigint[] default null, p_tags text[]
  default null, p_run_at timestamptz[] default null, p_delays_ms bigint[] default null, p_limit_keys text[]
  default null, p_retries jsonb[] default null)
returns bigint[] language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off
set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  ids bigint[];
  shards int[]; -- the lanes of the one pair that all jobs have, or
  lanes int[];  -- the lane of each job
  base int := floor(random() * 4);
begin
  if cardinality(p_kinds) is distinct from cardinality(p_queues)
     or cardinality(p_kinds) is distinct from cardinality(p_args)
     or cardinality(p_kinds) is distinct from cardinality(p_priorities) then
    raise exception 'the arrays must have the same length' using errcode = 'TR400';
  end if;
  if p_retries <> '{}' then
    perform troupe.check_retries(p_retries);
  end if;
  if p_queues[1] = all (p_queues) and p_priorities[1] = all (p_priorities) then
    shards := array(select l.id from troupe.lane l
                     where l.queue = p_queues[1] and l.priority = p_priorities[1] and l.shard < 4
                     order by l.shard);
  end if;
  if cardinality(shards) is distinct from 4 then
    if exists (select from unnest(p_queues, p_priorities) g(q, p)
                where not exists (select from troupe.lane l
                                   where l.queue = q and l.priority = p and l.shard = 3)) then
      perform troupe.open_lanes(p_queues, p_priorities);
    end if;
    lanes := array(
      select coalesce((select l.id from troupe.lane l
                        where l.queue = q and l.priority = p and l.shard = (base + o / 256) % 4),
                      troupe.lane_for(q, p, 0))
        from unnest(p_queues, p_priorities) with ordinality u(q, p, o) order by o);
  end if;
  -- Chunks of 256 alternate between shards, so that nodes can claim a large batch side by side.
  if p_run_at is null and p_delays_ms is null and lanes is null then
    with given as materialized (
      select nextval('troupe.job_id_seq') as id, o, k, q, a, p, m, t, g, lk, rt
        from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                    p_limit_keys, p_retries)
             with ordinality u(k, q, a, p, m, t, g, lk, rt, o)),
    stored as (
      insert into troupe.job (id, queue, kind, args, priority, max_attempts, timeout_ms, tags, limit_key,
                              retry)
      select id, q, k, a, p, coalesce(m, 20), t, g::text[], lk, rt from given),
    made as (
      insert into troupe.ready (lane, job_id, jobs)
      select shards[1 + (base + g.chunk) % 4], min(g.id), count(*)
        from (select o / 256 as chunk, id, id - o as gap from given) g
       group by g.chunk, g.gap order by min(g.id))
    select coalesce(array_agg(id order by o), '{}') into ids from given;
    if lanes is not null or troupe.is_slept_on(p_queues[1]) then
      perform troupe.wake(p_queues);
    end if;
    return ids;
  end if;
  with given as materialized (
    select nextval('troupe.job_id_seq') as id, o, k, q, a, p, m, t, g, lk, rt,
           coalesce(lanes[o], shards[1 + (base + o / 256) % 4]) as lane,
           case when d is not null then now() + d * interval '1 millisecond'
                when r > now() then r end as due
      from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                  p_run_at, p_delays_ms, p_limit_keys, p_retries)
           with ordinality u(k, q, a, p, m, t, g, r, d, lk, rt, o)),
  stored as (
    insert into troupe.job (id, queue, kind, args, priority, max_attempts, timeout_ms, tags, run_at,
                            limit_key, retry)
    select id, q, k, a, p, coalesce(m, 20), t, g::text[], due, lk, rt from given),
  made as (
    insert into troupe.ready (lane, job_id, jobs)
    select g.lane, min(g.id), count(*)
      from (select lane, o / 256 as chunk, id, id - row_number() over (partition by lane order by o) as gap
              from given where due is null) g
     group by g.lane, g.chunk, g.gap order by min(g.id)),
  waits as (
    insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
    select id, due, lane, 1, 1 from given where due is not null)
  select coalesce(array_agg(id order by o), '{}') into ids from given;
  perform troupe.wake_for_deferred(p_queues, p_run_at, p_delays_ms);
  return ids;
end   $$;

drop function troupe.enqueue(text, jsonb, text, int, int, bigint, text[], timestamptz, bigint, jsonb, text);
create function troupe.enqueue(kind text, args jsonb default '{}', queue text default 'default', priority
  int default 0, max_attempts int default 20, timeout_ms bigint default null, tags text[] default null,
  run_at timestamptz default null, delay_ms bigint default null, unique_by jsonb default null, limit_key
  text default null, retry jsonb default null)
returns bigint language plpgsql as $$
declare
  name constant text := '^[A-Za-z0-9._:-]{1,128}$';
  fault constant text := case
    when (kind ~ name) is not true then 'kind must be 1 to 128 of A-Z a-z 0-9 . _ : -'
    when (queue ~ name) is not true then 'queue must be 1 to 128 of A-Z a-z 0-9 . _ : -'
    when args is null then 'args must not be null'
    when (priority between 0 and 9) is not true then 'priority must be 0 to 9'
    when (max_attempts between 1 and 1000) is not true then 'max_attempts must be 1 to 1000'
    when timeout_ms not between 1 and 604800000 then 'timeout_ms must be 1 to 604800000'
    when cardinality(tags) > 32 or exists (select from unnest(tags) t
                                            where (octet_length(t) between 1 and 255) is not true)
      then 'tags must be at most 32 of 1 to 255 bytes each'
    when run_at is not null and delay_ms is not null then 'run_at and delay_ms exclude each other'
    when delay_ms not between 0 and 315360000000 then 'delay_ms must be 0 to 315360000000'
    when run_at not between now() - interval '3650 days' and now() + interval '3650 days'
      then 'run_at must lie within ten years'
    when octet_length(limit_key) not between 1 and 128 then 'limit_key must have 1 to 128 bytes'
  end;
  kinds constant text[] := array[kind];
  queues constant text[] := array[queue];
  all_args constant jsonb[] := array[args];
  priorities constant smallint[] := array[priority];
  attempts constant smallint[] := array[max_attempts];
  timeouts constant bigint[] := case when timeout_ms is not null then array[timeout_ms] end;
  tag_lists constant text[] := case when tags is not null then array[tags::text] end;
  times constant timestamptz[] := case when run_at is not null then array[run_at] end;
  delays constant bigint[] := case when delay_ms is not null then array[delay_ms] end;
  limit_keys constant text[] := case when limit_key is not null then array[limit_key] end;
  retries constant jsonb[] := case when retry is not null then array[retry] end;
begin
  if fault is not null then
    raise exception '%', fault using errcode = 'TR400';
  end if;
  if unique_by is null then
    return (troupe.enqueue_many(kinds, queues, all_args, priorities, attempts, timeouts, tag_lists,
                                times, delays, limit_keys, retries))[1];
  end if;
  return (select e.ids[1]
            from troupe.enqueue_keyed(kinds, queues, all_args, priorities, attempts, timeouts, tag_lists,
                                      times, delays, array[unique_by], p_limit_keys => limit_keys,
                                      p_retries => retries) e);
end  $$;

drop function troupe.enqueue_here(bigint, text[], text[], jsonb[], smallint[], smallint[], bigint[], text[],
                                  text[]);
create function troupe.enqueue_here(p_node bigint, p_kinds text[], p_queues text[], p_args jsonb[],
  p_priorities smallint[], p_max_attempts smallint[], p_timeouts_ms bigint[], p_tags text[], p_limit_keys
  text[], p_retries jsonb[] default null)
returns table (lease bigint, job_id bigint, args jsonb) language plpgsql set plan_cache_mode =
force_generic_plan set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set
enable_bitmapscan = off set jit = off as $$
declare
  lease_id bigint;
  ids bigint[];
  free boolean := false;
begin
  perform from troupe.node n where n.id = p_node and n.ended_at is null for key share skip locked;
  -- The lock is the claim's; tried and not waited for: whoever stores jobs must not wait for a pause.
  if found and pg_try_advisory_xact_lock_shared(troupe.queue_lock(p_queues[1])) then
    -- After the lock, by a statement of its own: a pause or a limit is either seen or waits for us.
    -- Lanes there are from a queue's first job on.
    free := p_queues[1] = all (p_queues)
      and not exists (select from troupe.queue q
                       where q.name = p_queues[1]
                         and (q.paused_at is not null or q.concurrency is not null or q.rate is not null
                              or q.key_concurrency is not null or q.key_rate is not null))
      and not exists (select from unnest(p_priorities) u(p)
                       where not exists (select from troupe.lane l
                                          where l.queue = p_queues[1] and l.priority = u.p and l.shard = 3));
  end if;
  if not free then
    return query
      select null::bigint, u.i, null::jsonb
        from unnest(troupe.enqueue_many(p_kinds, p_queues, p_args, p_priorities, p_max_attempts,
                                        p_timeouts_ms, p_tags, null, null, p_limit_keys,
                                        p_retries)) u(i);
    return;
  end if;
  if p_retries <> '{}' then
    perform troupe.check_retries(p_retries);
  end if;
  ids := array(select nextval('troupe.job_id_seq') from generate_series(1, cardinality(p_kinds)));
  insert into troupe.lease (node, jobs, attempts)
  values (p_node, ids, array_fill(1::smallint, array[cardinality(ids)]))
  returning id into lease_id;
  return query
    with stored as (
      insert into troupe.job as j (id, queue, kind, args, priority, max_attempts, timeout_ms, tags, limit_key,
                                   retry)
      select u.i, u.q, u.k, u.a, u.p, coalesce(u.m, 20), u.t, u.g::text[], u.lk, u.rt
        from unnest(ids, p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                    p_limit_keys, p_retries)
             u(i, k, q, a, p, m, t, g, lk, rt)
      returning j.id, j.args)
    select lease_id, s.id, s.args from stored s order by s.id;
end  $$;

drop function troupe.replace_job(bigint, jsonb, smallint, smallint, bigint, text[], timestamptz, text);
create function troupe.replace_job(p_job bigint, p_args jsonb, p_priority smallint, p_max_attempts smallint,
  p_timeout_ms bigint, p_tags text[], p_due timestamptz, p_limit_key text, p_retry jsonb)
returns void language plpgsql set enable_hashjoin = off set enable_mergejoin = off set
enable_seqscan = off set jit = off as $$
declare
  old troupe.job;
  current smallint;
  lane_id int;
begin
  select * into old from troupe.job where id = p_job;
  update troupe.job
     set args = p_args, priority = p_priority, max_attempts = coalesce(p_max_attempts, 20),
         timeout_ms = p_timeout_ms, tags = p_tags, run_at = p_due, limit_key = p_limit_key,
         retry = p_retry
   where id = p_job;
  if p_priority <> old.priority then
    perform troupe.open_lanes(array[old.queue], array[p_priority]);
  end if;
  lane_id := troupe.lane_for(old.queue, p_priority, p_job);
  if p_due is not null then
    update troupe.deferred set due_at = p_due, lane = lane_id, reason = 1 where job_id = p_job;
    if found then
      return;
    end if;
  else
    delete from troupe.deferred where job_id = p_job returning attempt into current;
    if found then
      insert into troupe.ready (lane, job_id, attempt) values (lane_id, p_job, current);
      perform troupe.wake(array[old.queue]);
      return;
    elsif p_priority = old.priority and p_limit_key is not distinct from old.limit_key then
      return; -- the entry is where it should be
    end if;
  end if;
  select coalesce(max(a.attempt), 0) + 1 into current from troupe.attempt a where a.job_id = p_job;
  insert into troupe.attempt (job_id, attempt, outcome, reopened, error)
  values (p_job, current, 2, true, 'replaced while it waited');
  insert into troupe.revoked (job_id, attempt, queue, priority)
  values (p_job, current, old.queue, old.priority) on conflict do nothing;
  if p_due is null then
    insert into troupe.ready (lane, job_id, attempt) values (lane_id, p_job, current + 1);
    perform troupe.wake(array[old.queue]);
  else
    insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
    values (p_job, p_due, lane_id, current + 1, 1);
  end if;
end   $$;

drop function troupe.enqueue_keyed(text[], text[], jsonb[], smallint[], smallint[], bigint[], text[],
                                   timestamptz[], bigint[], jsonb[], int[], text[], text[]);
create function troupe.enqueue_keyed(p_kinds text[], p_queues text[], p_args jsonb[], p_priorities
  smallint[], p_max_attempts smallint[], p_timeouts_ms bigint[], p_tags text[], p_run_at timestamptz[],
  p_delays_ms bigint[], p_uniques jsonb[], p_parts int[] default null, p_keys text[] default null,
  p_limit_keys text[] default null, p_retries jsonb[] default null, out ids bigint[], out fates smallint[],
  out uses smallint[], out stored_at timestamptz[])
language plpgsql set plan_cache_mode = force_generic_plan set enable_mergejoin = off set
enable_seqscan = off set jit = off as $$
declare
  live constant jsonb := '["scheduled", "available", "running", "retryable"]';
  waiting constant text[] := '{scheduled,available,retryable}';
  n constant int := coalesce(cardinality(p_kinds), 0);
  parts constant int[] := coalesce(p_parts, array[n]);
  moment constant timestamptz := clock_timestamp();
  prints bytea[];
  digests bytea[]; -- the keys, ascending
  ranks int[];     -- of each job: which of them
  holders bigint[]; -- of each key: a job's id, or a job of this call as -n, or 0
  states text[];
  acts smallint[] := array_fill(0::smallint, array[n]); -- as fates; -1: replayed
  targets bigint[] := array_fill(0::bigint, array[n]);  -- as holders
  undo_ranks int[];
  undo_holders bigint[];
  undo_states text[];
  refused int;
  first int;
  i int := 0;
  r int;
  was bigint;
  fresh int[];
  made bigint[];
begin
  if cardinality(p_uniques) <> n or (select sum(c) from unnest(parts) c) <> n
     or cardinality(p_keys) <> cardinality(parts) then
    raise exception 'the arrays must have the same length' using errcode = 'TR400';
  end if;
  if p_retries <> '{}' then
    perform troupe.check_retries(p_retries);
  end if;
  ids := array_fill(0::bigint, array[n]);
  uses := array_fill(0::smallint, array[cardinality(parts)]);
  stored_at := array_fill(now(), array[cardinality(parts)]);

  -- Requests first, and only then keys of jobs: one order for everybody.
  if p_keys is not null then
    select array_agg(x.f order by x.part) into prints from (
      select s.part, sha256(convert_to(jsonb_agg(
               jsonb_build_array(k, q, a, p, coalesce(m, 20), t, to_jsonb(g::text[]), g2, d, z)
                 || case when lk is null then '[]' else jsonb_build_array(lk) end
                 || case when rt is null then '[]' else jsonb_build_array(rt) end
               order by u.o)::text, 'UTF8')) as f
        from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                    p_run_at, p_delays_ms, p_uniques, p_limit_keys, p_retries)
             with ordinality u(k, q, a, p, m, t, g, g2, d, z, lk, rt, o)
        join (select c.part, row_number() over (order by c.part, s) as o
                from unnest(parts) with ordinality c(jobs, part), generate_series(1, c.jobs) s) s
          on s.o = u.o
       group by s.part) x;
    select * into uses, stored_at from troupe.open_requests(p_keys, prints);
    if uses && '{2,3}' then
      for p in 1..cardinality(parts) loop
        first := i + 1;
        i := i + parts[p];
        if uses[p] = 3 then
          acts[first:i] := array_fill(4::smallint, array[parts[p]]);
        elsif uses[p] = 2 then
          acts[first:i] := array_fill((-1)::smallint, array[parts[p]]);
        end if;
      end loop;
    end if;
  end if;

  if p_uniques is not null then
    perform troupe.check_unique(u) from (select distinct u from unnest(p_uniques) u where u is not null) x;
    select array_agg(case when d is not null then dr end order by o), array_agg(distinct d order by d)
             filter (where d is not null)
      into ranks, digests
      from (select o, d, dense_rank() over (order by d) as dr
              from (select o, case when u is not null and x = 0
                                   then troupe.unique_digest(k, q, a, u, moment) end as d
                      from unnest(p_kinds, p_queues, p_args, p_uniques, acts)
                           with ordinality g(k, q, a, u, x, o)) g) g;
  end if;
  if digests is not null then
    insert into troupe.unique_key (job_id, digest)
    select 0, d from unnest(digests) with ordinality u(d, o) order by o
    on conflict (digest) do update set job_id = excluded.job_id where false; -- locks it
    -- A statement of its own, to see what the one above has waited for.
    select array_agg(k.job_id order by k.digest) into holders
      from troupe.unique_key k where k.digest = any (digests);
    states := troupe.states_of(holders);
    if exists (select from unnest(p_uniques) u where u -> 'on_conflict' = '"replace"') then
      perform troupe.hold_waiting(array(
        select h from unnest(holders, states) with ordinality x(h, s, o)
         where s = any (waiting)
           and o in (select y.r from unnest(ranks, p_uniques) y(r, u)
                      where u -> 'on_conflict' = '"replace"')));
      states := troupe.states_of(holders);
    end if;
    for x in 1..cardinality(holders) loop
      if states[x] is null then
        holders[x] := 0;
      end if;
    end loop;

    -- What becomes of each job, in the order given, as if they came one by one.
    i := 0;
    for p in 1..cardinality(parts) loop
      first := i + 1;
      i := i + parts[p];
      refused := null; undo_ranks := '{}'; undo_holders := '{}'; undo_states := '{}';
      for k in first..i loop
        r := ranks[k];
        continue when r is null;
        was := holders[r];
        if was = 0 or not coalesce(p_uniques[k] -> 'states', live) ? states[r] then
          undo_ranks := undo_ranks || r; undo_holders := undo_holders || was;
          undo_states := undo_states || states[r];
          holders[r] := -k;
        elsif coalesce(p_uniques[k] ->> 'on_conflict', 'reject') = 'reject' then
          refused := k;
          targets[k] := case when -was between first and i then 0 else was end;
          exit;
        else
          targets[k] := was;
          if p_uniques[k] ->> 'on_conflict' = 'existing' or states[r] <> all (waiting) then
            acts[k] := 1;
            continue;
          end if;
          acts[k] := 2;
          undo_ranks := undo_ranks || r; undo_holders := undo_holders || was;
          undo_states := undo_states || states[r];
        end if;
        states[r] := case when p_delays_ms[k] is not null or p_run_at[k] > now() then 'scheduled'
                          else 'available' end;
      end loop;
      continue when refused is null;
      if p_parts is null then
        raise exception '%', case when targets[refused] = 0
            then 'two of these jobs have the same unique key'
            else format('job %s has the same unique key and is %s', targets[refused],
                        states[ranks[refused]]) end
          using errcode = 'TR409';
      end if;
      for x in reverse cardinality(undo_ranks)..1 loop
        holders[undo_ranks[x]] := undo_holders[x];
        states[undo_ranks[x]] := undo_states[x];
      end loop;
      acts[first:i] := array_fill(4::smallint, array[parts[p]]);
      acts[refused] := 3;
    end loop;

    -- One that is to be created and was replaced before it was: as the last one says.
    for k in 1..n loop
      continue when acts[k] <> 2 or targets[k] > 0;
      i := -targets[k];
      p_args[i] := p_args[k];
      p_priorities[i] := p_priorities[k];
      if p_max_attempts is not null then p_max_attempts[i] := p_max_attempts[k]; end if;
      if p_timeouts_ms is not null then p_timeouts_ms[i] := p_timeouts_ms[k]; end if;
      if p_tags is not null then p_tags[i] := p_tags[k]; end if;
      if p_run_at is not null then p_run_at[i] := p_run_at[k]; end if;
      if p_delays_ms is not null then p_delays_ms[i] := p_delays_ms[k]; end if;
      if p_limit_keys is not null then p_limit_keys[i] := p_limit_keys[k]; end if;
      if p_retries <> '{}' then p_retries[i] := p_retries[k]; end if;
    end loop;
  end if;

  fresh := array(select o from unnest(acts) with ordinality u(a, o) where a = 0 order by o);
  if fresh <> '{}' then
    select troupe.enqueue_many(
             array_agg(k order by o), array_agg(q order by o), array_agg(a order by o),
             array_agg(p order by o),
             case when p_max_attempts is not null then array_agg(m order by o) end,
             case when p_timeouts_ms is not null then array_agg(t order by o) end,
             case when p_tags is not null then array_agg(g order by o) end,
             case when p_run_at is not null then array_agg(w order by o) end,
             case when p_delays_ms is not null then array_agg(d order by o) end,
             case when p_limit_keys is not null then array_agg(lk order by o) end,
             case when p_retries is not null then array_agg(rt order by o) end)
      into made
      from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                  p_run_at, p_delays_ms, p_limit_keys, p_retries, acts)
           with ordinality u(k, q, a, p, m, t, g, w, d, lk, rt, x, o)
     where x = 0;
    for k in 1..cardinality(fresh) loop
      ids[fresh[k]] := made[k];
    end loop;
  end if;
  for k in 1..n loop
    if targets[k] <> 0 and acts[k] in (1, 2, 3) then
      ids[k] := case when targets[k] > 0 then targets[k] else ids[-targets[k]] end;
    end if;
    if acts[k] = 2 and targets[k] > 0 then
      perform troupe.replace_job(
        targets[k], p_args[k], p_priorities[k], p_max_attempts[k], p_timeouts_ms[k], p_tags[k]::text[],
        case when p_delays_ms[k] is not null then now() + p_delays_ms[k] * interval '1 millisecond'
             when p_run_at[k] > now() then p_run_at[k] end,
        p_limit_keys[k], p_retries[k]);
    end if;
  end loop;
  if digests is not null then
    update troupe.unique_key k set job_id = ids[-x.h]
      from unnest(digests, holders) x(d, h) where k.digest = x.d and x.h < 0;
    -- A request that was rejected may have left one that nobody has.
    delete from troupe.unique_key k where k.job_id = 0 and k.digest = any (digests);
    insert into troupe.unique_job (job_id, digest, states, ends_at, rule)
    select ids[o], digests[ranks[o]],
           case when u ? 'states' then array(select jsonb_array_elements_text(u -> 'states')) end,
           troupe.unique_end(u, moment), u - '{states,on_conflict}'::text[]
      from unnest(acts, p_uniques) with ordinality x(a, u, o) where a = 0 and u is not null;
  end if;
  fates := acts;
  if p_keys is not null then
    perform troupe.close_requests(p_keys, parts, uses, ids, fates);
    if uses && '{2}' then
      select array_agg(coalesce(s.id, x.id) order by x.o), array_agg(coalesce(s.fate, x.fate) order by x.o)
        into ids, fates
        from unnest(ids, fates) with ordinality x(id, fate, o)
        left join (
          select row_number() over (order by c.part, g.n) as o, g.id, g.fate
            from unnest(parts, uses, p_keys) with ordinality c(jobs, used, key, part)
            left join troupe.idempotency i on i.key = c.key and c.used = 2
            cross join lateral (
              select s as n, i.ids[s] as id, i.fates[s] as fate from generate_series(1, c.jobs) s) g) s
          on s.o = x.o;
    end if;
  end if;
end   $$;

-- -- handing out -----------------------------------------------------------------------------------

drop function troupe.take_keyed(bigint, text, int, int, int, int, int);
create function troupe.take_keyed(p_node bigint, p_queue text, p_limit int, p_slots int, p_held int, p_most
  int, p_have int)
returns table (lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind
  text, args jsonb, permits int, permits_changed bigint, again boolean, retry jsonb)
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set
enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  q troupe.queue;
  offered record;
  part record;
  candidate record;
  looks int;
  ids bigint[] := '{}';
  ats smallint[];
  names text[];
  touched text[] := '{}';
  served boolean := false;
  many boolean := false; -- keys were noted beyond those that were looked at
  lease_id bigint;
begin
  select * into q from troupe.queue x where x.name = p_queue;
  if q.key_rate is not null then -- what a rate allows is to start at once
    p_limit := least(p_limit, coalesce(p_slots - p_held, p_limit));
  end if;
  looks := greatest(5000, p_limit);
  if p_limit > 0 then
    perform troupe.fold_keys(p_queue, exists (select from troupe.parked x where x.queue = p_queue)
                                      or (select count(*) from (select from troupe.key_end e
                                                                 where e.queue = p_queue
                                                                 limit 200) x) = 200);
    select * into offered from troupe.offer_parked(p_queue, p_limit);
    many := coalesce(offered.many, false);
    for candidate in
      select x.id, x.priority, x.served_at from troupe.lane x where x.queue = p_queue
      union all
      select 0, offered.best, q.parked_served_at where offered.best is not null
      order by 2, 3, 1
    loop
      if candidate.id = 0 then
        touched := touched || offered.keys;
        select u.jobs, u.attempts, u.keys into ids, ats, names
          from troupe.unpark(p_queue, offered.best, offered.dues, offered.turns, offered.names,
                             offered.jobs, offered.attempts, offered.keys) u;
        served := true;
      else
        select * into part from troupe.read_lane(p_queue, candidate.id, p_limit, looks);
        looks := looks - part.looked;
        ids := part.jobs; ats := part.attempts; names := part.keys;
        touched := touched || part.fresh;
      end if;
      exit when ids <> '{}' or looks <= 0;
    end loop;
    -- Written in any case: a snapshot from before must notice.
    update troupe.queue x
       set parked_served_at = case when served then clock_timestamp() else x.parked_served_at end
     where x.name = p_queue and (ids <> '{}' or touched <> '{}');
  end if;
  if ids <> '{}' then
    insert into troupe.lease (node, jobs, attempts) values (p_node, ids, ats) returning id into lease_id;
    insert into troupe.key_run (lease, node, queue, limit_key, jobs)
    select lease_id, p_node, p_queue, u.k, array_agg(u.i)
      from unnest(ids, names) u(i, k) where u.k is not null group by u.k;
    if q.key_rate is not null then
      insert into troupe.key_pace as p (queue, limit_key, rate_at)
      select p_queue, u.k, clock_timestamp() + make_interval(
               secs => count(*)::int * (q.key_rate_period_ms / 1000.0 / q.key_rate))
        from unnest(names) u(k) where u.k is not null group by u.k
      on conflict (queue, limit_key) do update
         set rate_at = excluded.rate_at + greatest(interval '0', p.rate_at - clock_timestamp());
    end if;
    select n.permits, n.changed into permits, permits_changed
      from troupe.note_claimed(p_node, p_queue, p_slots, p_held, cardinality(ids), p_most, p_have) n;
  end if;
  if touched <> '{}' then
    perform troupe.note_keys(p_queue, touched);
  end if;
  if ids = '{}' then
    again := many or looks <= 0;
    return next;
    return;
  end if;
  return query
    select lease_id, j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args,
           take_keyed.permits, take_keyed.permits_changed, true, j.retry
      from unnest(ids, ats) u(i, a) join troupe.job j on j.id = u.i;
end  $$;

drop function troupe.take(bigint, text, int, int, int);
create function troupe.take(p_node bigint, p_queue text, p_limit int, p_slots int default null, p_held int
  default 0)
returns table (lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind
  text, args jsonb, permits int, permits_changed bigint, again boolean, retry jsonb)
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set
enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  candidate int;
  said boolean;
  keyed boolean;
  most int;
  have int;
  l troupe.lane;
  snap pg_snapshot;
  own xid8;
  ended xid8[];
  runs record;
  firsts bigint[];
  counts int[];
  attempts smallint[];
  rows int;
  got int;
  ids bigint[];
  ats smallint[];
  moved boolean;
  skipped boolean;
  whole boolean;
  looks int := 10000; -- revoked entries in one claim, or rounds for a hundredth of it
  lease_id bigint;
begin
  perform from troupe.node n where n.id = p_node and n.ended_at is null for key share;
  if not found then
    raise exception 'node % is not alive', p_node using errcode = 'TR410';
  end if;
  perform pg_advisory_xact_lock_shared(troupe.queue_lock(p_queue));
  select true, x.key_concurrency is not null or x.key_rate is not null into said, keyed
    from troupe.queue x where x.name = p_queue;
  if said then
    if keyed then -- so that what one claim counts no other changes
      perform from troupe.queue x where x.name = p_queue for update;
    end if;
    select r.room, r.most, r.have into p_limit, most, have
      from troupe.room_for(p_node, p_queue, p_limit, p_slots, p_held) r;
    if keyed then
      return query select * from troupe.take_keyed(p_node, p_queue, p_limit, p_slots, p_held, most, have);
      return;
    elsif p_limit <= 0 then
      return;
    end if;
  end if;
  loop
    skipped := false;
    for candidate in
      select x.id from troupe.lane x where x.queue = p_queue order by x.priority, x.served_at, x.id
    loop
      -- One row at a time: a FOR loop over the locking query would prefetch, and lock, all of them.
      select * into l from troupe.lane x where x.id = candidate for update skip locked;
      continue when not found;
      firsts := '{}'; counts := '{}'; attempts := '{}'; got := 0;
      if l.draining = '{}' and l.open <> '{}' then
        -- An older snapshot than the one that reads below, so all entries of these are visible there.
        -- A snapshot takes its own transaction for ended, but it may still enqueue.
        snap := pg_current_snapshot();
        own := pg_current_xact_id();
        ended := array(select o from unnest(l.open) o
                        where o <> own and pg_visible_in_snapshot(o, snap));
        if ended <> '{}' then
          l.draining := ended; l.late_xact := '0'; l.late_seq := 0; l.late_part := 0;
          l.open := array(select o from unnest(l.open) o where o <> all (ended));
        end if;
      end if;
      moved := l.draining <> '{}';
      if moved then
        select * into runs
          from troupe.next_runs(l.id, l.draining, l.late_xact, l.late_seq, l.late_part, p_limit, p_limit);
        if runs.got > 0 then
          firsts := runs.firsts; counts := runs.counts; attempts := runs.attempts; got := runs.got;
        end if;
        if got < p_limit then
          l.draining := '{}';
        else
          l.late_xact := runs.xact; l.late_seq := runs.seq; l.late_part := runs.part;
        end if;
      end if;
      rows := 1 + p_limit / 64; -- enough for what is enqueued in batches
      while got < p_limit loop
        select * into runs
          from troupe.next_runs(l.id, null, l.xact, l.seq, l.part, p_limit - got, least(rows, p_limit - got));
        exit when runs.got = 0;
        -- Writers that the cursor passes while they are open. The claim's own transaction is one of
        -- them when its caller goes on to enqueue; a snapshot never lists its own.
        own := pg_current_xact_id();
        if pg_snapshot_xmin(runs.snap) < runs.xact or own < runs.xact then
          l.open := l.open || array(select x from pg_snapshot_xip(runs.snap) x
                                     where x > l.xact and x < runs.xact and x <> own);
          if own < runs.xact and own <> all (l.open) then
            l.open := l.open || own;
          end if;
        end if;
        l.xact := runs.xact; l.seq := runs.seq; l.part := runs.part;
        firsts := firsts || runs.firsts; counts := counts || runs.counts;
        attempts := attempts || runs.attempts; got := got + runs.got;
        exit when not runs.more;
        rows := rows * 4;
      end loop;
      continue when got = 0 and not moved;
      update troupe.lane x
         set xact = l.xact, seq = l.seq, part = l.part, open = l.open, draining = l.draining,
             late_xact = l.late_xact, late_seq = l.late_seq, late_part = l.late_part,
             taken = taken + got, served_at = clock_timestamp()
       where x.id = l.id;
      continue when got = 0;
      select array_agg(g.i), array_agg(u.a) into ids, ats
        from unnest(firsts, counts, attempts) u(f, c, a) cross join generate_series(u.f, u.f + u.c - 1) g(i);
      whole := not exists (select from troupe.revoked);
      if not whole then
        with gone as (
          delete from troupe.revoked v using unnest(ids, ats) u(i, a)
           where v.job_id = u.i and v.attempt = u.a
          returning v.job_id, v.attempt)
        select array_agg(u.i order by u.o), array_agg(u.a order by u.o) into ids, ats
          from unnest(ids, ats) with ordinality u(i, a, o)
         where not exists (select from gone g where g.job_id = u.i and g.attempt = u.a);
        if ids is null then -- nothing but revoked entries: look again, best lane first
          skipped := true;
          looks := looks - greatest(got, 100);
          exit;
        end if;
        whole := cardinality(ids) = got;
      end if;
      insert into troupe.lease (node, jobs, attempts) values (p_node, ids, ats)
        returning id into lease_id;
      if said then
        select n.permits, n.changed into permits, permits_changed
          from troupe.note_claimed(p_node, p_queue, p_slots, p_held, cardinality(ids), most, have) n;
      end if;
      if whole then
        return query
          select lease_id, j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args,
                 take.permits, take.permits_changed, null::boolean, j.retry
            from unnest(firsts, counts, attempts) u(f, c, a)
            join troupe.job j on j.id between u.f and u.f + u.c - 1;
      else
        return query
          select lease_id, j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args,
                 take.permits, take.permits_changed, null::boolean, j.retry
            from unnest(ids, ats) u(i, a) join troupe.job j on j.id = u.i;
      end if;
      return;
    end loop;
    exit when not skipped;
    if looks <= 0 then
      again := true;
      return next;
      return;
    end if;
  end loop;
end   $$;

drop function troupe.adopt(bigint, bigint);
create function troupe.adopt(p_node bigint, p_lease bigint)
returns table (lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind
  text, args jsonb, queue text, retry jsonb)
language sql set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit =
off as $$
  select l.id, j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args, j.queue, j.retry
    from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a) join troupe.job j on j.id = u.i
   where l.id = p_lease and l.node = p_node
     and not exists (select from troupe.attempt t where t.job_id = u.i and t.attempt = u.a);
$$;

-- -- ending ----------------------------------------------------------------------------------------

create or replace function troupe.finish(node bigint, lease bigint, job bigint, attempt int, outcome text
  default 'completed', result jsonb default null, error text default null, retry_ms bigint default null)
returns boolean language plpgsql set enable_hashjoin = off set enable_mergejoin = off set
enable_seqscan = off set jit = off as $$
declare
  code smallint := case outcome when 'completed' then 1 when 'discarded' then 3
                                         when 'failed' then 4 when 'snoozed' then 6 end;
  wait bigint := retry_ms;
  policy jsonb;
  held troupe.lease;
  others boolean;
begin
  if code is null then
    raise exception 'outcome must be completed, failed, discarded or snoozed' using errcode = 'TR400';
  elsif code = 6 and retry_ms is null or retry_ms not between 0 and 315360000000 then
    raise exception 'retry_ms must be 0 to 315360000000, and is needed for snoozed'
      using errcode = 'TR400';
  end if;
  -- Locked, so that two that end at the same time do not each leave the lease to the other.
  select * into held from troupe.lease l where l.id = finish.lease and l.node = finish.node for update;
  if not found then
    return false;
  end if;
  if code = 4 and retry_ms is null then
    select j.retry into policy from troupe.job j where j.id = finish.job;
    if policy is not null then
      wait := troupe.retry_pause(policy, attempt, floor(random() * 4294967296)::bigint);
      code := case when wait is null then 3 else 4 end;
    else -- as long as a node of the engine would wait, but for chance
      wait := least(21600000, 1000 * 2 ^ least(attempt - 1, 20));
    end if;
  end if;
  others := exists (select from unnest(held.jobs, held.attempts) u(i, a)
                     where (u.i, u.a) <> (finish.job, finish.attempt::smallint)
                       and not exists (select from troupe.attempt t
                                        where t.job_id = u.i and t.attempt = u.a));
  return (select f.fenced = '{}'
            from troupe.finish($1, case when others then '{}' else array[$2] end,
                               case when others then array[$2] else '{}' end, code = 1, array[$2],
                               array[$3], array[$4]::smallint[], array[code],
                               array[(extract(epoch from now() - held.taken_at) * 1000)::bigint],
                               array[0::bigint], array[$6], array[$7], array[wait]) f);
end $$;

-- -- looking ---------------------------------------------------------------------------------------

drop function troupe.get_job(bigint);
create function troupe.get_job(p_job bigint)
returns table (id bigint, queue text, kind text, priority smallint, state text, args jsonb, attempt int,
  max_attempts smallint, timeout_ms bigint, tags text[], run_at timestamptz, created_at timestamptz,
  taken_at timestamptz, node text, limit_key text, retry jsonb)
language plpgsql stable rows 1 set plan_cache_mode = force_generic_plan set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
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
         j.retry
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
   where j.id = p_job;
end  $$;

create or replace view troupe.jobs as
select j.id, j.queue, j.kind, j.priority,
       case when d.job_id is not null
              then case d.reason when 2 then 'retryable' else 'scheduled' end
            when a.outcome in (1, 2, 3) and not a.reopened
              then (array['completed', 'cancelled', 'discarded'])[a.outcome]
            when (j.id, (coalesce(a.attempt, 0) + 1)::smallint)
                 in (select u.i, u.n from troupe.lease l, unnest(l.jobs, l.attempts) u(i, n))
              then 'running'
            else 'available' end as state,
       j.args, coalesce(a.attempt, 0::smallint) as attempt, j.max_attempts, j.timeout_ms, j.tags,
       coalesce(d.due_at, j.run_at, j.created_at) as run_at, j.created_at, j.parent,
       a.finished_at, a.result, a.error, j.limit_key, j.retry
  from troupe.job j
  left join troupe.deferred d on d.job_id = j.id
  left join lateral (
    select * from troupe.attempt t where t.job_id = j.id order by t.attempt desc limit 1) a on true;
