-- How many jobs of a queue may wait: beyond it who enqueues is told to come back later.

alter table troupe.queue add column max_waiting int check (max_waiting between 1 and 1000000000);
create index queue_bounded on troupe.queue (name) where max_waiting is not null;

-- From its commit on: at most so many jobs of the queue are available, or as many as come. Null: as many as
-- come.
create function troupe.limit_waiting(p_queue text, p_most int) returns void language sql as $$
  insert into troupe.queue (name, max_waiting) values (p_queue, p_most)
  on conflict (name) do update
     set max_waiting = p_most, changed_at = now(), version = queue.version + 1
   where queue.max_waiting is distinct from p_most;
$$;

-- Of these queues those that have such a limit, how many jobs there is room for in each, and the limits.
-- They are the caller's until its transaction ends: nobody else enqueues into them. More than p_wanted need
-- not be counted to the last.
create function troupe.rooms(p_queues text[], p_wanted int, out names text[], out free bigint[],
                             out most int[])
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set jit = off as $$
begin
  names := array(select q.name from troupe.queue q where q.max_waiting is not null and q.name = any (p_queues));
  -- Not the queue's row: claims may want that.
  perform pg_advisory_xact_lock(hashtextextended('room in ' || n, 6))
    from (select n from unnest(names) n order by n) x;
  -- A statement of its own, to see what others have left.
  select coalesce(array_agg(q.name), '{}'), array_agg(q.max_waiting - case
           when q.max_waiting - b.jobs >= p_wanted then b.jobs
           else b.jobs - coalesce((select r.jobs from troupe.running(array[q.name]) r), 0) end),
         array_agg(q.max_waiting)
    into names, free, most
    from troupe.queue q cross join lateral (
      select t.jobs - t.scheduled - t.retryable - t.completed - t.cancelled - t.discarded as jobs
        from troupe.tallied(q.name) t) b
   where q.max_waiting is not null and q.name = any (names);
end $$;

-- Refuses these jobs when there is no room for all of them.
create function troupe.take_room(p_queues text[], p_run_at timestamptz[], p_delays_ms bigint[]) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set jit = off as $$
declare
  asked text[];
  wanted bigint[];
  lack record;
begin
  select array_agg(x.q), array_agg(x.n) into asked, wanted
    from (select u.q, count(*) as n from unnest(p_queues, p_run_at, p_delays_ms) u(q, r, d)
           where u.d is null and (u.r > now()) is not true group by u.q) x;
  select r.name, r.most - r.free as waits, r.most, a.n into lack
    from troupe.rooms(asked, cardinality(p_queues)) x
   cross join lateral unnest(x.names, x.free, x.most) r(name, free, most)
    join unnest(asked, wanted) a(q, n) on a.q = r.name
   where a.n > r.free limit 1;
  if found then
    raise exception 'queue "%" is full: % jobs wait, at most % may, and % more do not fit',
      lack.name, lack.waits, lack.most, lack.n using errcode = 'TR503';
  end if;
end $$;

-- As before, but not beyond what may wait. p_has_room: the caller has looked (troupe.rooms).
drop function troupe.enqueue_many(text[], text[], jsonb[], smallint[], smallint[], bigint[], text[],
                                  timestamptz[], bigint[], text[], jsonb[]);
create function troupe.enqueue_many(
  p_kinds text[], p_queues text[], p_args jsonb[], p_priorities smallint[],
  p_max_attempts smallint[] default null, p_timeouts_ms bigint[] default null,
  p_tags text[] default null, p_run_at timestamptz[] default null, p_delays_ms bigint[] default null,
  p_limit_keys text[] default null, p_retries jsonb[] default null,
  p_has_room boolean default false)
returns bigint[] language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set jit = off as $$
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
  if exists (select from troupe.queue q where q.max_waiting is not null) and not p_has_room then
    perform troupe.take_room(p_queues, p_run_at, p_delays_ms);
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
       group by g.chunk, g.gap order by min(g.id)),
    counted as (
      insert into troupe.tally (queue, state, jobs) values (p_queues[1], 0, cardinality(p_kinds)))
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
    select id, due, lane, 1, 1 from given where due is not null),
  counted as (
    insert into troupe.tally (queue, state, jobs)
    select p_queues[1], 0, cardinality(p_kinds) where lanes is null
    union all
    select q, 0, count(*) from unnest(p_queues) q where lanes is not null group by q)
  select coalesce(array_agg(id order by o), '{}') into ids from given;
  perform troupe.wake_for_deferred(p_queues, p_run_at, p_delays_ms);
  return ids;
end $$;

-- As before, but not where it is limited what may wait.
create or replace function troupe.enqueue_here(
  p_node bigint, p_kinds text[], p_queues text[], p_args jsonb[], p_priorities smallint[],
  p_max_attempts smallint[], p_timeouts_ms bigint[], p_tags text[], p_limit_keys text[],
  p_retries jsonb[] default null)
returns table (lease bigint, job_id bigint, args jsonb) language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  lease_id bigint;
  ids bigint[];
  free boolean := false;
begin
  perform from troupe.node n where n.id = p_node and n.ended_at is null for key share skip locked;
  -- The lock is the claim's; tried and not waited for: whoever stores jobs must not wait for a pause.
  if found
     -- Before the lock: who waits for room shall hold up no pause.
     and not exists (select from troupe.queue q where q.name = p_queues[1] and q.max_waiting is not null)
     and pg_try_advisory_xact_lock_shared(troupe.queue_lock(p_queues[1])) then
    -- After the lock, by a statement of its own: a pause or a limit is either seen or waits for us.
    -- Lanes there are from a queue's first job on.
    free := p_queues[1] = all (p_queues)
      and not exists (select from troupe.queue q
                       where q.name = p_queues[1]
                         and (q.paused_at is not null or q.concurrency is not null or q.rate is not null
                              or q.key_concurrency is not null or q.key_rate is not null or q.ordered
                              or q.max_waiting is not null))
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
      returning j.id, j.args),
    counted as (
      insert into troupe.tally (queue, state, jobs) values (p_queues[1], 0, cardinality(p_kinds)))
    select lease_id, s.id, s.args from stored s order by s.id;
end $$;

-- As before, but a request that there is no room for is refused: fate 5 of the job that does not fit.
create or replace function troupe.enqueue_keyed(
  p_kinds text[], p_queues text[], p_args jsonb[], p_priorities smallint[], p_max_attempts smallint[],
  p_timeouts_ms bigint[], p_tags text[], p_run_at timestamptz[], p_delays_ms bigint[], p_uniques jsonb[],
  p_parts int[] default null, p_keys text[] default null, p_limit_keys text[] default null,
  p_retries jsonb[] default null,
  out ids bigint[], out fates smallint[], out uses smallint[], out stored_at timestamptz[])
language plpgsql
set plan_cache_mode = force_generic_plan set enable_mergejoin = off
set enable_seqscan = off set jit = off as $$
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
  full_at int;     -- the first job that there is no room for
  bounded text[];  -- the queues in which not as many wait as come, and
  rooms bigint[];  -- how many more each of them takes
  left_over bigint[];
  most int[];
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
  end if;
  if exists (select from troupe.queue q where q.max_waiting is not null) then
    select x.names, x.free, x.most into bounded, rooms, most
      from troupe.rooms(array(select distinct q from unnest(p_queues, p_run_at, p_delays_ms, acts) u(q, w, d, a)
                               where a = 0 and d is null and (w > now()) is not true), n) x;
  end if;
  if digests is not null then
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
  end if;

  if digests is not null or bounded <> '{}' then
    -- What becomes of each job, in the order given, as if they came one by one.
    i := 0;
    for p in 1..cardinality(parts) loop
      first := i + 1;
      i := i + parts[p];
      refused := null; full_at := null; undo_ranks := '{}'; undo_holders := '{}'; undo_states := '{}';
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
      if refused is null and bounded <> '{}' then
        left_over := rooms;
        for k in first..i loop
          r := array_position(bounded, p_queues[k]);
          continue when r is null or acts[k] <> 0 or p_delays_ms[k] is not null or p_run_at[k] > now();
          left_over[r] := left_over[r] - 1;
          if left_over[r] < 0 then
            full_at := k;
            exit;
          end if;
        end loop;
        if full_at is null then
          rooms := left_over;
          continue;
        elsif p_parts is null then
          raise exception 'queue "%" is full: % jobs wait, and at most % may', bounded[r], most[r] - rooms[r],
            most[r] using errcode = 'TR503';
        end if;
      end if;
      continue when refused is null and full_at is null;
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
      if refused is not null then
        acts[refused] := 3;
      else
        acts[full_at] := 5;
      end if;
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
             case when p_retries is not null then array_agg(rt order by o) end, true)
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
end $$;

-- As before; one that there was no room for may be tried again.
create or replace function troupe.close_requests(p_keys text[], p_parts int[], p_uses smallint[],
                                                 p_ids bigint[], p_fates smallint[])
returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  first int;
  last int := 0;
begin
  for p in 1..cardinality(p_parts) loop
    first := last + 1;
    last := last + p_parts[p];
    continue when p_uses[p] <> 1;
    if p_fates[first:last] && '{3,5}' then
      delete from troupe.idempotency where key = p_keys[p];
    else
      update troupe.idempotency set ids = p_ids[first:last], fates = p_fates[first:last]
       where key = p_keys[p];
    end if;
  end loop;
end $$;

-- As before, with the new limit.
drop function troupe.list_queues(text, text, int);
create function troupe.list_queues(p_only text, p_after text, p_limit int)
returns table (name text, paused_at timestamptz, concurrency int, version bigint, changed_at timestamptz,
               waiting bigint, running bigint, rate int, rate_period_ms int, rate_burst int,
               key_concurrency int, key_rate int, key_rate_period_ms int, key_rate_burst int,
               ordered boolean, max_waiting int)
language plpgsql stable
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
begin
  return query
  with known as materialized (
    select k.name from (select distinct l.queue as name from troupe.lane l
                        union
                        select q.name from troupe.queue q) k
     where case when p_only is null then k.name > p_after else k.name = p_only end
     order by k.name limit p_limit),
  busy as materialized (select * from troupe.running(array(select k.name from known k)))
  select k.name, q.paused_at, q.concurrency, coalesce(q.version, 0), q.changed_at,
         t.jobs - t.scheduled - t.retryable - t.completed - t.cancelled - t.discarded - coalesce(b.jobs, 0),
         coalesce(b.jobs, 0),
         q.rate, q.rate_period_ms, q.rate_burst,
         q.key_concurrency, q.key_rate, q.key_rate_period_ms, q.key_rate_burst,
         coalesce(q.ordered, false), q.max_waiting
    from known k
   cross join lateral troupe.tallied(k.name) t
    left join troupe.queue q on q.name = k.name
    left join busy b on b.queue = k.name
   order by k.name;
end $$;
