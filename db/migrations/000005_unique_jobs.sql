-- Unique jobs and idempotent requests. A job without either goes through troupe.enqueue_many as
-- before; nothing here is touched when a job is handed out or ends. What has a key is found by it at
-- the next enqueue, which judges by the state that the key's holder has at that moment.

-- Who has a unique key: the last job that was stored with it. The row's lock is the arbiter; whoever
-- takes several takes them in the order of their digests, so that no two wait for each other.
create table troupe.unique_key (
  job_id bigint not null,                      -- 0: being stored by the transaction that made the row
  digest bytea primary key
) with (fillfactor = 70);

-- The key of each job that has one, for as long as the job is there: a retry takes it again.
create table troupe.unique_job (
  job_id  bigint primary key,
  ends_at timestamptz,                         -- of the key's period; no key is made after it
  digest  bytea not null,
  states  text[]                               -- in which it is in the way; null: the four live ones
);

-- Requests that can be asked again. Kept for a day.
create table troupe.idempotency (
  created_at  timestamptz not null default now(),
  key         text primary key check (octet_length(key) between 1 and 255),
  fingerprint bytea not null,                  -- of what was asked
  ids         bigint[] not null default '{}',
  fates       smallint[] not null default '{}'
);
create index idempotency_age on troupe.idempotency (created_at);

-- -- keys ------------------------------------------------------------------------------------------

-- Of jobs that are limited together (000008_keys.sql); part of what a request is compared by.
alter table troupe.job add column limit_key text collate "C";
alter table troupe.job add constraint job_limit_key_check
  check (octet_length(limit_key) between 1 and 128) not valid; -- of rows that are there none has one

-- Stores jobs in the caller's transaction; ids in the order given. Arrays run in parallel.
-- p_tags holds array literals; p_run_at and p_delay_ms exclude each other; nulls take the defaults.
drop function troupe.enqueue_many(text[], text[], jsonb[], smallint[], smallint[], bigint[], text[],
                                  timestamptz[], bigint[]);
create function troupe.enqueue_many(
  p_kinds text[], p_queues text[], p_args jsonb[], p_priorities smallint[],
  p_max_attempts smallint[] default null, p_timeouts_ms bigint[] default null,
  p_tags text[] default null, p_run_at timestamptz[] default null, p_delays_ms bigint[] default null,
  p_limit_keys text[] default null)
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
      select nextval('troupe.job_id_seq') as id, o, k, q, a, p, m, t, g, lk
        from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                    p_limit_keys)
             with ordinality u(k, q, a, p, m, t, g, lk, o)),
    stored as (
      insert into troupe.job (id, queue, kind, args, priority, max_attempts, timeout_ms, tags, limit_key)
      select id, q, k, a, p, coalesce(m, 20), t, g::text[], lk from given),
    made as (
      insert into troupe.ready (lane, job_id)
      select coalesce(lanes[o], shards[1 + (base + o / 256) % 4]), id from given)
    select coalesce(array_agg(id order by o), '{}') into ids from given;
    return ids;
  end if;
  with given as materialized (
    select nextval('troupe.job_id_seq') as id, o, k, q, a, p, m, t, g, lk,
           coalesce(lanes[o], shards[1 + (base + o / 256) % 4]) as lane,
           case when d is not null then now() + d * interval '1 millisecond'
                when r > now() then r end as due
      from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                  p_run_at, p_delays_ms, p_limit_keys)
           with ordinality u(k, q, a, p, m, t, g, r, d, lk, o)),
  stored as (
    insert into troupe.job (id, queue, kind, args, priority, max_attempts, timeout_ms, tags, run_at,
                            limit_key)
    select id, q, k, a, p, coalesce(m, 20), t, g::text[], due, lk from given),
  made as (
    insert into troupe.ready (lane, job_id) select lane, id from given where due is null),
  waits as (
    insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
    select id, due, lane, 1, 1 from given where due is not null)
  select coalesce(array_agg(id order by o), '{}') into ids from given;
  return ids;
end $$;

-- Raises TR400 for what is no rule.
create function troupe.check_unique(p_unique jsonb) returns void language plpgsql immutable as $$
declare
  name text;
  given jsonb;
  fits boolean;
begin
  if jsonb_typeof(p_unique) <> 'object' then
    raise exception 'unique must be an object' using errcode = 'TR400';
  end if;
  for name, given in select * from jsonb_each(p_unique) loop
    if name = 'queue' then
      fits := jsonb_typeof(given) = 'boolean';
    elsif name = 'args' and jsonb_typeof(given) = 'array' then
      fits := jsonb_array_length(given) between 1 and 32
              and not exists (select from jsonb_array_elements(given) f
                               where jsonb_typeof(f) <> 'string'
                                  or octet_length(f #>> '{}') not between 1 and 255);
    elsif name = 'args' then
      fits := jsonb_typeof(given) = 'boolean';
    elsif name = 'period_ms' then
      fits := jsonb_typeof(given) = 'number';
      fits := fits and given::numeric = trunc(given::numeric)
              and given::numeric between 1 and 315360000000;
    elsif name = 'states' then
      fits := jsonb_typeof(given) = 'array';
      fits := fits and given <> '[]'
              and given <@ '["pending", "scheduled", "available", "running", "retryable", "completed",
                             "cancelled", "discarded"]';
    elsif name = 'on_conflict' then
      fits := given in ('"reject"', '"existing"', '"replace"');
    else
      raise exception 'unique.%: no such field; there are queue, args, period_ms, states, on_conflict',
        left(name, 64) using errcode = 'TR400';
    end if;
    if not fits then
      raise exception 'unique.% must be %', name, case name
          when 'queue' then 'true or false'
          when 'args' then 'true, false or 1 to 32 names of fields of at most 255 bytes'
          when 'period_ms' then 'an integer from 1 to 315360000000'
          when 'states' then 'an array of at least one state'
          else 'reject, existing or replace' end
        using errcode = 'TR400';
    end if;
  end loop;
end $$;

-- PostgreSQL takes an SQL function that is one expression into the statement that asks: a call for each job
-- would cost more than all else about its key.
create function troupe.unique_fields(p_args jsonb, p_fields jsonb) returns jsonb language sql stable as $$
  select jsonb_build_array(jsonb_agg(distinct f),
                           jsonb_object_agg(f, p_args -> f) filter (where p_args ? f))
    from jsonb_array_elements_text(p_fields) f
$$;

-- What two jobs have in common that must not be there twice. Numbers count as they are written: 1 and
-- 1.0 differ, as they do in jsonb.
create function troupe.unique_digest(p_kind text, p_queue text, p_args jsonb, p_unique jsonb,
                                                p_at timestamptz)
returns bytea language sql stable as $$
  select sha256(convert_to(jsonb_build_array(
    p_kind,
    case when p_unique -> 'queue' = 'true' then p_queue end,
    case when p_unique -> 'args' = 'true' then jsonb_build_array(p_args)
         when jsonb_typeof(p_unique -> 'args') = 'array'
           then troupe.unique_fields(p_args, p_unique -> 'args') end,
    (p_unique ->> 'period_ms')::numeric::bigint,
    floor(extract(epoch from p_at) * 1000 / (p_unique ->> 'period_ms')::numeric::bigint))::text, 'UTF8'))
$$;

-- The end of the period that this moment lies in; null without one.
create function troupe.unique_end(p_unique jsonb, p_at timestamptz)
returns timestamptz language sql stable as $$
  select to_timestamp((floor(extract(epoch from p_at) * 1000 / (p_unique ->> 'period_ms')::numeric::bigint)
                       + 1) * (p_unique ->> 'period_ms')::numeric::bigint / 1000)
$$;

-- -- replacing -------------------------------------------------------------------------------------

-- Keeps these jobs from being handed out, changed or made ready until the transaction ends. Claims pass
-- by the lanes of those that are available.
create function troupe.hold_waiting(p_jobs bigint[]) returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  perform from troupe.job j where j.id = any (p_jobs) order by j.id for update;
  perform from troupe.deferred d where d.job_id = any (p_jobs) order by d.job_id for update;
  perform from troupe.lane l
    where (l.queue, l.priority) in (select j.queue, j.priority from troupe.job j
                                     where j.id = any (p_jobs)
                                       and not exists (select from troupe.deferred d
                                                        where d.job_id = j.id))
    order by l.id for update;
end $$;

-- Gives a held, waiting job what another one would have been; it keeps its id, kind and queue. Where
-- its entry has to go elsewhere, or its key is another, the attempt that waits is revoked and another one
-- made, as a cancel and a retry would do.
create function troupe.replace_job(p_job bigint, p_args jsonb, p_priority smallint, p_max_attempts smallint,
                                   p_timeout_ms bigint, p_tags text[], p_due timestamptz, p_limit_key text)
returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  old troupe.job;
  current smallint;
  lane_id int;
begin
  select * into old from troupe.job where id = p_job;
  update troupe.job
     set args = p_args, priority = p_priority, max_attempts = coalesce(p_max_attempts, 20),
         timeout_ms = p_timeout_ms, tags = p_tags, run_at = p_due, limit_key = p_limit_key
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
  else
    insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
    values (p_job, p_due, lane_id, current + 1, 1);
  end if;
end $$;

-- -- putting in ------------------------------------------------------------------------------------

-- Takes the keys of requests. use: 0 no key, 1 the first time, 2 asked before, 3 the key is another
-- request's. Waits for whoever is using one of them.
create function troupe.open_requests(p_keys text[], p_prints bytea[], out uses smallint[],
                                     out since timestamptz[])
language plpgsql
set plan_cache_mode = force_generic_plan set enable_mergejoin = off set enable_seqscan = off
set jit = off as $$
declare
  firsts text[];
begin
  with made as (
    insert into troupe.idempotency (key, fingerprint)
    select k, f from unnest(p_keys, p_prints) u(k, f) where k is not null order by k
    on conflict (key) do update set key = excluded.key where false -- locks it
    returning key)
  select coalesce(array_agg(key), '{}') into firsts from made;
  select array_agg(case when u.k is null then 0 when u.k = any (firsts) then 1
                        when i.fingerprint = u.f then 2 else 3 end order by u.o),
         array_agg(coalesce(i.created_at, now()) order by u.o)
    into uses, since
    from unnest(p_keys, p_prints) with ordinality u(k, f, o)
    left join troupe.idempotency i on i.key = u.k;
end $$;

-- As troupe.enqueue_many, for jobs of which some are unique and requests of which some have a key.
-- p_parts divides the jobs into requests, each of which is stored or not by itself; without it they
-- are one, and a job that is rejected raises TR409. fates: 0 created, 1 existing, 2 replaced,
-- 3 rejected (ids has the job in the way, 0 when it is of the same request), 4 not stored for the sake
-- of its request. uses and stored_at are of each part; see troupe.open_requests.
create function troupe.enqueue_keyed(
  p_kinds text[], p_queues text[], p_args jsonb[], p_priorities smallint[], p_max_attempts smallint[],
  p_timeouts_ms bigint[], p_tags text[], p_run_at timestamptz[], p_delays_ms bigint[], p_uniques jsonb[],
  p_parts int[] default null, p_keys text[] default null, p_limit_keys text[] default null,
  out ids bigint[], out fates smallint[], out uses smallint[], out stored_at timestamptz[])
language plpgsql
set plan_cache_mode = force_generic_plan set enable_mergejoin = off set enable_seqscan = off
set jit = off as $$
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
  ids := array_fill(0::bigint, array[n]);
  uses := array_fill(0::smallint, array[cardinality(parts)]);
  stored_at := array_fill(now(), array[cardinality(parts)]);

  -- Requests first, and only then keys of jobs: one order for everybody.
  if p_keys is not null then
    select array_agg(x.f order by x.part) into prints from (
      select s.part, sha256(convert_to(jsonb_agg(
               jsonb_build_array(k, q, a, p, coalesce(m, 20), t, to_jsonb(g::text[]), g2, d, z)
                 || case when lk is null then '[]' else jsonb_build_array(lk) end
               order by u.o)::text, 'UTF8')) as f
        from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                    p_run_at, p_delays_ms, p_uniques, p_limit_keys)
             with ordinality u(k, q, a, p, m, t, g, g2, d, z, lk, o)
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
             case when p_limit_keys is not null then array_agg(lk order by o) end)
      into made
      from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                  p_run_at, p_delays_ms, p_limit_keys, acts)
           with ordinality u(k, q, a, p, m, t, g, w, d, lk, x, o)
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
        p_limit_keys[k]);
    end if;
  end loop;
  if digests is not null then
    update troupe.unique_key k set job_id = ids[-x.h]
      from unnest(digests, holders) x(d, h) where k.digest = x.d and x.h < 0;
    -- A request that was rejected may have left one that nobody has.
    delete from troupe.unique_key k where k.job_id = 0 and k.digest = any (digests);
    insert into troupe.unique_job (job_id, digest, states, ends_at)
    select ids[o], digests[ranks[o]],
           case when u ? 'states' then array(select jsonb_array_elements_text(u -> 'states')) end,
           troupe.unique_end(u, moment)
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

-- The derived state of each of these jobs; null where there is none. Not of SQL alone: that would be
-- planned anew with each call.
create function troupe.states_of(p_jobs bigint[]) returns text[] language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_mergejoin = off set jit = off as $$
begin
  return (select array_agg(s.state order by u.o)
            from unnest(p_jobs) with ordinality u(id, o)
            left join troupe.jobs_of(p_jobs) s on s.id = u.id);
end $$;

-- Remembers what was answered; what was rejected may be asked again.
create function troupe.close_requests(p_keys text[], p_parts int[], p_uses smallint[], p_ids bigint[],
                                      p_fates smallint[])
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
    if p_fates[first:last] && '{3}' then
      delete from troupe.idempotency where key = p_keys[p];
    else
      update troupe.idempotency set ids = p_ids[first:last], fates = p_fates[first:last]
       where key = p_keys[p];
    end if;
  end loop;
end $$;

-- -- steering --------------------------------------------------------------------------------------

-- Makes a final, scheduled or retryable job available now. One that has a unique key takes it again,
-- if no other job has it that is in the way; keys come before jobs, as in an enqueue.
create or replace function troupe.retry(p_job bigint) returns text language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  j troupe.job;
  next_attempt smallint;
  mine troupe.unique_job;
  holder bigint;
  held text;
begin
  select * into mine from troupe.unique_job
    where job_id = p_job and (ends_at is null or ends_at > clock_timestamp());
  if found then -- written even when it is ours: a snapshot from before must notice
    insert into troupe.unique_key (job_id, digest) values (p_job, mine.digest)
    on conflict (digest) do update set job_id = unique_key.job_id
    returning job_id into holder;
  end if;
  select * into j from troupe.job where id = p_job for update;
  if not found then
    raise exception 'there is no job %', p_job using errcode = 'TR404';
  end if;
  delete from troupe.deferred where job_id = p_job returning attempt into next_attempt;
  if not found then
    update troupe.attempt a set reopened = true
     where a.job_id = p_job and a.outcome in (1, 2, 3) and not a.reopened
       and a.attempt = (select max(b.attempt) from troupe.attempt b where b.job_id = p_job)
    returning a.attempt + 1 into next_attempt;
    if not found then
      raise exception 'job % is available or running already', p_job using errcode = 'TR409';
    end if;
    if holder <> p_job then
      held := (troupe.states_of(array[holder]))[1];
      if held = any (coalesce(mine.states, '{}') || '{scheduled,available,running,retryable}') then
        raise exception 'job % has the same unique key and is %', holder, held using errcode = 'TR409';
      end if;
      update troupe.unique_key set job_id = p_job where digest = mine.digest;
    end if;
  end if;
  insert into troupe.ready (lane, job_id, attempt)
  values (troupe.lane_for(j.queue, j.priority, p_job), p_job, next_attempt);
  return j.queue;
end $$;

create or replace function troupe.delete_job(p_job bigint) returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  j troupe.job;
  mine bytea;
begin
  select digest into mine from troupe.unique_job where job_id = p_job;
  if found then
    perform from troupe.unique_key where digest = mine for update;
  end if;
  select * into j from troupe.job where id = p_job for update;
  if not found then
    raise exception 'there is no job %', p_job using errcode = 'TR404';
  end if;
  -- A claim that has read the job's entry and not committed its lease yet: wait for it.
  perform from troupe.lane l where l.queue = j.queue and l.priority = j.priority
    order by l.id for update;
  if troupe.is_running(p_job) then
    raise exception 'job % is running; cancel it first', p_job using errcode = 'TR409';
  end if;
  delete from troupe.deferred where job_id = p_job;
  if not found then
    insert into troupe.revoked (job_id, attempt, queue, priority)
    select p_job, coalesce(max(attempt), 0) + 1, j.queue, j.priority from troupe.attempt
     where job_id = p_job
    having not coalesce(bool_or(outcome in (1, 2, 3) and not reopened), false)
    on conflict do nothing;
  end if;
  delete from troupe.attempt where job_id = p_job;
  delete from troupe.job where id = p_job;
  if mine is not null then
    delete from troupe.unique_key where digest = mine and job_id = p_job;
    delete from troupe.unique_job where job_id = p_job;
  end if;
end $$;

-- -- forgetting ------------------------------------------------------------------------------------

-- Drops keys that are in nobody's way, keys of jobs that are gone, and requests older than a day; of
-- each at most so many in one round. Which keys are looked at is left to chance: digests are spread
-- evenly, so each has its turn, and no position has to be kept. Waits for nobody.
create function troupe.forget_keys(p_limit int default 20000, out keys_dropped bigint,
                                   out requests_dropped bigint)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  begin_at constant bytea := sha256(random()::text::bytea);
  looked_at bytea[];
begin
  looked_at := array(select digest from troupe.unique_key where digest >= begin_at
                      order by digest limit p_limit);
  looked_at := looked_at || array(select digest from troupe.unique_key where digest < begin_at
                                   order by digest limit p_limit - cardinality(looked_at));
  -- Locked by one statement and judged by the next: what an enqueue has done meanwhile must be seen.
  looked_at := array(select digest from troupe.unique_key where digest = any (looked_at)
                      for update skip locked);
  delete from troupe.unique_key k
   where k.digest = any (looked_at)
     and not exists (
       select from troupe.unique_job u
         join troupe.job j on j.id = u.job_id
         left join lateral (select t.outcome, t.reopened from troupe.attempt t where t.job_id = u.job_id
                             order by t.attempt desc limit 1) a on true
        where u.job_id = k.job_id
          -- An hour more: who has made his key before may still wait for its row.
          and (u.ends_at is null or u.ends_at > now() - interval '1 hour')
          and (a.outcome is null or a.outcome not in (1, 2, 3) or a.reopened
               or (array['completed', 'cancelled', 'discarded'])[a.outcome] = any (u.states)));
  get diagnostics keys_dropped = row_count;
  delete from troupe.unique_job u
   where u.job_id in (select x.job_id from troupe.unique_job x order by x.job_id limit p_limit)
     and not exists (select from troupe.job j where j.id = u.job_id offset 0);
  delete from troupe.idempotency
   where key in (select i.key from troupe.idempotency i where i.created_at < now() - interval '24 hours'
                  order by i.created_at limit p_limit for update skip locked);
  get diagnostics requests_dropped = row_count;
end $$;
