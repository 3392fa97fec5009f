-- Enqueue and claim for less: what is the same for a whole batch is found once, and a claim, which
-- moves a lane's cursor only, does not have the lane's name checked again.

-- Makes the lanes (4 shards) of each pair that has none. While another transaction is making them and
-- has not ended, a pair without any gets one lane more instead: nobody waits for anybody.
create or replace function troupe.open_lanes(p_queues text[], p_priorities smallint[])
returns void language plpgsql as $$
declare
  pair record;
begin
  for pair in
    select distinct q, p from unnest(p_queues, p_priorities) g(q, p)
     where not exists (select from troupe.lane l where l.queue = q and l.priority = p and l.shard = 3)
     order by q, p
  loop
    if pair.q !~ '^[A-Za-z0-9._:-]{1,128}$' or pair.p not between 0 and 9 then
      raise exception 'there can be no queue "%" with priority %', pair.q, pair.p
        using errcode = 'check_violation';
    end if;
    if pg_try_advisory_xact_lock(hashtextextended('lanes of ' || pair.q, pair.p)) then
      insert into troupe.lane (queue, priority, shard)
      select pair.q, pair.p, s from generate_series(0, 3) s
      on conflict do nothing;
    elsif not exists (select from troupe.lane l where l.queue = pair.q and l.priority = pair.p) then
      insert into troupe.lane (queue, priority, shard)
      values (pair.q, pair.p, 4 + floor(random() * 32000))
      on conflict do nothing;
    end if;
  end loop;
end $$;
alter table troupe.lane drop constraint lane_queue_check, drop constraint lane_priority_check;

-- Stores jobs in the caller's transaction; ids in the order given. Arrays run in parallel.
-- p_tags holds array literals; p_run_at and p_delay_ms exclude each other; nulls take the defaults.
create or replace function troupe.enqueue_many(
  p_kinds text[], p_queues text[], p_args jsonb[], p_priorities smallint[],
  p_max_attempts smallint[] default null, p_timeouts_ms bigint[] default null,
  p_tags text[] default null, p_run_at timestamptz[] default null, p_delays_ms bigint[] default null)
returns bigint[] language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off as $$
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
  if p_run_at is null and p_delays_ms is null then
    with given as materialized (
      select nextval('troupe.job_id_seq') as id, o, k, q, a, p, m, t, g
        from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags)
             with ordinality u(k, q, a, p, m, t, g, o)),
    stored as (
      insert into troupe.job (id, queue, kind, args, priority, max_attempts, timeout_ms, tags)
      select id, q, k, a, p, coalesce(m, 20), t, g::text[] from given),
    made as (
      insert into troupe.ready (lane, job_id)
      select coalesce(lanes[o], shards[1 + (base + o / 256) % 4]), id from given)
    select coalesce(array_agg(id order by o), '{}') into ids from given;
    return ids;
  end if;
  with given as materialized (
    select nextval('troupe.job_id_seq') as id, o, k, q, a, p, m, t, g,
           coalesce(lanes[o], shards[1 + (base + o / 256) % 4]) as lane,
           case when d is not null then now() + d * interval '1 millisecond'
                when r > now() then r end as due
      from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                  p_run_at, p_delays_ms)
           with ordinality u(k, q, a, p, m, t, g, r, d, o)),
  stored as (
    insert into troupe.job (id, queue, kind, args, priority, max_attempts, timeout_ms, tags, run_at)
    select id, q, k, a, p, coalesce(m, 20), t, g::text[], due from given),
  made as (
    insert into troupe.ready (lane, job_id) select lane, id from given where due is null),
  waits as (
    insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
    select id, due, lane, 1, 1 from given where due is not null)
  select coalesce(array_agg(id order by o), '{}') into ids from given;
  return ids;
end $$;
