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
select troupe.edit_function('enqueue_here', $old$
  if found and pg_try_advisory_xact_lock_shared(troupe.queue_lock(p_queues[1])) then
$old$, $new$
  if found
     -- Before the lock: who waits for room shall hold up no pause.
     and not exists (select from troupe.queue q where q.name = p_queues[1] and q.max_waiting is not null)
     and pg_try_advisory_xact_lock_shared(troupe.queue_lock(p_queues[1])) then
$new$);
select troupe.edit_function('enqueue_here', $old$
                              or q.key_concurrency is not null or q.key_rate is not null or q.ordered))
$old$, $new$
                              or q.key_concurrency is not null or q.key_rate is not null or q.ordered
                              or q.max_waiting is not null))
$new$);

-- As before, but a request that there is no room for is refused: fate 5 of the job that does not fit.
select troupe.edit_function('enqueue_keyed', $old$
  refused int;
$old$, $new$
  refused int;
  full_at int;     -- the first job that there is no room for
  bounded text[];  -- the queues in which not as many wait as come, and
  rooms bigint[];  -- how many more each of them takes
  left_over bigint[];
  most int[];
$new$);
select troupe.edit_function('enqueue_keyed', $old$
    on conflict (digest) do update set job_id = excluded.job_id where false; -- locks it
$old$, $new$
    on conflict (digest) do update set job_id = excluded.job_id where false; -- locks it
  end if;
  if exists (select from troupe.queue q where q.max_waiting is not null) then
    select x.names, x.free, x.most into bounded, rooms, most
      from troupe.rooms(array(select distinct q from unnest(p_queues, p_run_at, p_delays_ms, acts) u(q, w, d, a)
                               where a = 0 and d is null and (w > now()) is not true), n) x;
  end if;
  if digests is not null then
$new$);
select troupe.edit_function('enqueue_keyed', $old$
    end loop;

    -- What becomes of each job, in the order given, as if they came one by one.
$old$, $new$
    end loop;
  end if;

  if digests is not null or bounded <> '{}' then
    -- What becomes of each job, in the order given, as if they came one by one.
$new$);
select troupe.edit_function('enqueue_keyed', $old$
      refused := null; undo_ranks := '{}'; undo_holders := '{}'; undo_states := '{}';
$old$, $new$
      refused := null; full_at := null; undo_ranks := '{}'; undo_holders := '{}'; undo_states := '{}';
$new$);
select troupe.edit_function('enqueue_keyed', $old$
      continue when refused is null;
$old$, $new$
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
$new$);
select troupe.edit_function('enqueue_keyed', $old$
      acts[refused] := 3;
$old$, $new$
      if refused is not null then
        acts[refused] := 3;
      else
        acts[full_at] := 5;
      end if;
$new$);
select troupe.edit_function('enqueue_keyed', $old$
             case when p_retries is not null then array_agg(rt order by o) end)
$old$, $new$
             case when p_retries is not null then array_agg(rt order by o) end, true)
$new$);

-- As before; one that there was no room for may be tried again.
select troupe.edit_function('close_requests', $old$
    if p_fates[first:last] && '{3}' then
$old$, $new$
    if p_fates[first:last] && '{3,5}' then
$new$);

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
