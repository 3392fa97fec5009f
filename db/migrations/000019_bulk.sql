-- Operations on many jobs, and the edit of one that waits. A bulk operation is a row; whoever has time takes
-- a step of it. A step is one short transaction: what it does to its jobs and how far the operation has
-- come are one commit, so that it goes on exactly where it was, on any node.

create table troupe.bulk_operation (
  id         bigint primary key generated always as identity,
  created_at timestamptz not null default now(),
  stepped_at timestamptz not null default '-infinity',
  try_at     timestamptz not null default '-infinity', -- not before, after a step that failed
  ended_at   timestamptz,
  up_to      bigint not null,           -- jobs above came later
  reached    bigint not null default 0, -- jobs up to this one were met
  matched    bigint not null default 0, -- = changed + skipped
  changed    bigint not null default 0,
  skipped    bigint not null default 0,
  failures   int not null default 0,    -- steps that were undone
  priority   smallint check (priority between 0 and 9), -- to which, or as it is
  state      text not null default 'running' check (state in ('running', 'done', 'cancelled')),
  action     text not null check (action in ('cancel', 'retry', 'delete', 'move', 'reprioritise')),
  queue      text check (queue ~ '^[A-Za-z0-9._:-]{1,128}$'), -- to which, or as it is
  created_by text not null,
  filter     jsonb not null default '{}',
  ids        bigint[], -- ascending; null: what the filter says
  error      text      -- of the last step, when it failed
);
create index bulk_operation_running on troupe.bulk_operation (stepped_at, id) where state = 'running';
create index bulk_operation_ended on troupe.bulk_operation (ended_at) where state <> 'running';

-- What is in its key, without states and on_conflict: to make it anew when the queue or the args change.
-- Null: the job is from before this was kept.
alter table troupe.unique_job add column rule jsonb;

-- As in 000005, with the rule.
create or replace function troupe.enqueue_keyed(
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

-- -- looking ---------------------------------------------------------------------------------------

-- In which states this action changes a job.
create function troupe.bulk_states(p_action text, p_state text) returns text[] language sql immutable as $$
  select case when p_state is not null then array[p_state]
              when p_action = 'cancel' then '{scheduled,available,running,retryable}'
              when p_action = 'retry' then '{scheduled,retryable,completed,cancelled,discarded}'
              when p_action = 'delete'
                then '{scheduled,available,retryable,completed,cancelled,discarded}'
              else '{scheduled,available,retryable}' end::text[];
$$;

-- Does a job fit, but for its state? One that is where it is to go already does not.
create function troupe.bulk_fits(p_filter jsonb, p_to_queue text, p_to_priority smallint, queue text,
                                 kind text, priority smallint, tags text[], limit_key text,
                                 created_at timestamptz)
returns boolean language sql stable as $$
  select (p_filter ->> 'queue' is null or queue = p_filter ->> 'queue')
     and (p_filter ->> 'kind' is null or kind = p_filter ->> 'kind')
     and (p_filter ->> 'tag' is null or tags @> array[p_filter ->> 'tag'])
     and (p_filter ->> 'limit_key' is null or limit_key = p_filter ->> 'limit_key')
     and (p_filter ->> 'created_after' is null
          or created_at >= (p_filter ->> 'created_after')::timestamptz)
     and (p_filter ->> 'created_before' is null
          or created_at < (p_filter ->> 'created_before')::timestamptz)
     and (p_to_queue is null and p_to_priority is null
          or queue <> p_to_queue or priority <> p_to_priority);
$$;

-- Which of these jobs are in leases, with the attempt that is leased.
create function troupe.leased_of(p_jobs bigint[])
returns table (job_id bigint, attempt smallint, node bigint, taken_at timestamptz) language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_nestloop = off
set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  return query
  with leased as materialized (
    select u.i, u.a, l.node, l.taken_at from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a))
  select x.i, x.a, x.node, x.taken_at from leased x join unnest(p_jobs) g(i) on g.i = x.i;
end $$;

-- Where these jobs stand at this moment; attempt is the last one that ended.
create function troupe.standing(p_jobs bigint[])
returns table (id bigint, queue text, kind text, priority smallint, tags text[], limit_key text,
               created_at timestamptz, attempt smallint, state text, node bigint, taken_at timestamptz)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
begin
  return query
  with leased as materialized (select * from troupe.leased_of(p_jobs)),
  met as materialized (
    select j.*, d.reason, coalesce(a.attempt, 0::smallint) as last, a.outcome, a.reopened
      from unnest(p_jobs) g(i)
      cross join lateral (
        select x.id, x.queue, x.kind, x.priority, x.tags, x.limit_key, x.created_at from troupe.job x
         where x.id = g.i offset 0) j
      left join lateral (select x.reason from troupe.deferred x where x.job_id = g.i offset 0) d on true
      left join lateral (
        select x.attempt, x.outcome, x.reopened from troupe.attempt x
         where x.job_id = g.i order by x.attempt desc limit 1) a on true)
  select m.id, m.queue, m.kind, m.priority, m.tags, m.limit_key, m.created_at, m.last,
         case when m.reason is not null then case m.reason when 2 then 'retryable' else 'scheduled' end
              when m.outcome in (1, 2, 3) and not m.reopened
                then (array['completed', 'cancelled', 'discarded'])[m.outcome]
              when r.job_id is not null then 'running'
              else 'available' end,
         r.node, r.taken_at
    from met m left join leased r on r.job_id = m.id and r.attempt = m.last + 1
   order by m.id;
end $$;

-- Jobs of these ids, from above p_after to p_to, that are in one of these states and fit. Reads them by
-- ranges: for many of them, where most are in question.
create function troupe.bulk_range(p_after bigint, p_to bigint, p_states text[], p_filter jsonb,
                                  p_queue text, p_priority smallint)
returns bigint[] language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_nestloop = off
set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  return array(
    with leased as materialized (
      select u.i, u.a from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
       where u.i > p_after and u.i <= p_to),
    done as materialized (
      select a.job_id, a.attempt, a.outcome, a.reopened from troupe.attempt a
       where a.job_id > p_after and a.job_id <= p_to)
    select j.id
      from troupe.job j
      left join (select d.job_id, d.outcome from done d where d.outcome in (1, 2, 3) and not d.reopened) a
             on a.job_id = j.id
      left join (select d.job_id, d.reason from troupe.deferred d
                  where d.job_id > p_after and d.job_id <= p_to) d on d.job_id = j.id
      left join (select distinct x.i from leased x left join done d on d.job_id = x.i and d.attempt = x.a
                  where d.job_id is null) r on r.i = j.id
     where j.id > p_after and j.id <= p_to
       and case when d.job_id is not null then case d.reason when 2 then 'retryable' else 'scheduled' end
                when a.job_id is not null then (array['completed', 'cancelled', 'discarded'])[a.outcome]
                when r.i is not null then 'running'
                else 'available' end = any (p_states)
       and troupe.bulk_fits(p_filter, p_queue, p_priority, j.queue, j.kind, j.priority, j.tags,
                            j.limit_key, j.created_at)
     order by j.id);
end $$;

-- The next jobs that an operation is to meet, at most p_limit, and how far it has come with them. Looks at no
-- more than p_looks rows and a little: of the table that has the jobs of this state, or of all jobs by id.
create function troupe.bulk_candidates(op troupe.bulk_operation, p_limit int, p_looks int,
                                       out jobs bigint[], out reached bigint, out looked int)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  states constant text[] := troupe.bulk_states(op.action, op.filter ->> 'state');
  part constant int := 500; -- rows at a time
  met bigint[];
  top bigint;
  got int;
begin
  jobs := '{}'; reached := op.reached; looked := 0;
  if op.ids is not null then
    jobs := array(select i from unnest(op.ids) i where i > op.reached order by i limit p_limit);
    looked := cardinality(jobs);
    reached := case when looked = p_limit then jobs[looked] else op.up_to end;
    return;
  end if;
  while cardinality(jobs) < p_limit and looked < p_looks and reached < op.up_to loop
    met := null;
    if states <@ '{scheduled,retryable}' then
      met := array(select d.job_id from troupe.deferred d
                     where d.job_id > reached and d.job_id <= op.up_to order by d.job_id limit part);
      top := met[cardinality(met)]; got := cardinality(met);
    elsif states = '{running}' then
      met := array(select distinct u.i from troupe.lease l, unnest(l.jobs) u(i)
                     where u.i > reached and u.i <= op.up_to order by u.i limit part);
      top := met[cardinality(met)]; got := cardinality(met);
    elsif cardinality(states) = 1 and states <@ '{cancelled,discarded}' then
      met := array(select a.job_id from troupe.attempt a
                     where a.outcome in (2, 3) and not a.reopened -- as their partial index says
                       and a.outcome = case states[1] when 'cancelled' then 2 else 3 end
                       and a.job_id > reached and a.job_id <= op.up_to order by a.job_id limit part);
      top := met[cardinality(met)]; got := cardinality(met);
    else
      select max(x.id), count(*) into top, got
        from (select j.id from troupe.job j where j.id > reached and j.id <= op.up_to
               order by j.id limit part) x;
    end if;
    looked := looked + got;
    top := case when got = part then top else op.up_to end;
    if met is null then
      jobs := jobs || troupe.bulk_range(reached, top, states, op.filter, op.queue, op.priority);
    elsif got > 0 then
      jobs := jobs || array(
        select s.id from troupe.standing(met) s
         where s.state = any (states)
           and troupe.bulk_fits(op.filter, op.queue, op.priority, s.queue, s.kind, s.priority, s.tags,
                                s.limit_key, s.created_at));
    end if;
    reached := top;
  end loop;
  if cardinality(jobs) > p_limit then
    jobs := jobs[:p_limit];
    reached := jobs[p_limit];
  end if;
end $$;

-- -- the contract ----------------------------------------------------------------------------------

-- The operation that this asks for, not stored yet. TR400 with what is wrong.
create function troupe.bulk_asked(p_action text, p_filter jsonb, p_ids bigint[], p_to_queue text,
                                  p_to_priority int)
returns troupe.bulk_operation language plpgsql stable as $$
declare
  most_ids constant int := 10000;
  name constant text := '^[A-Za-z0-9._:-]{1,128}$';
  f constant jsonb := coalesce(p_filter, '{}');
  op troupe.bulk_operation;
  field text;
  given jsonb;
  at timestamptz;
  fault text;
begin
  fault := case
    when (p_action in ('cancel', 'retry', 'delete', 'move', 'reprioritise')) is not true
      then 'action must be cancel, retry, delete, move or reprioritise'
    when jsonb_typeof(f) <> 'object' then 'filter must be an object'
    when p_ids is not null and f <> '{}' then 'ids and filter exclude each other'
    when p_ids is null and f = '{}' then 'filter must not be empty: say "all": true to mean every job'
    when cardinality(p_ids) not between 1 and most_ids or array_position(p_ids, null) is not null
      then 'ids must be 1 to ' || most_ids || ' ids'
    when (p_to_queue is not null) <> (p_action = 'move')
      then case when p_action = 'move' then 'to.queue is missing' else 'to.queue goes with move only' end
    when p_to_queue !~ name then 'to.queue must be 1 to 128 of A-Z a-z 0-9 . _ : -'
    when p_action = 'reprioritise' and p_to_priority is null then 'to.priority is missing'
    when p_to_priority is not null and p_action not in ('move', 'reprioritise')
      then 'to.priority goes with move and reprioritise only'
    when p_to_priority not between 0 and 9 then 'to.priority must be 0 to 9'
  end;
  if fault is not null then
    raise exception '%', fault using errcode = 'TR400';
  end if;
  for field, given in select * from jsonb_each(f) loop
    if field = 'all' then
      fault := case when given <> 'true' then 'must be true' end;
    elsif jsonb_typeof(given) <> 'string' then
      fault := 'must be a text';
    elsif field in ('queue', 'kind') then
      fault := case when given #>> '{}' !~ name then 'must be 1 to 128 of A-Z a-z 0-9 . _ : -' end;
    elsif field = 'tag' then
      fault := case when octet_length(given #>> '{}') not between 1 and 255 then 'must have 1 to 255 bytes' end;
    elsif field = 'limit_key' then
      fault := case when octet_length(given #>> '{}') not between 1 and 128 then 'must have 1 to 128 bytes' end;
    elsif field = 'state' then
      fault := case
        when given #>> '{}' <> all ('{pending,scheduled,available,running,retryable,completed,cancelled,discarded}')
          then 'must be a state of jobs'
        when given #>> '{}' <> all (troupe.bulk_states(p_action, null))
             and not (p_action = 'cancel' and given = '"running"')
          then format('must be one in which a job can be changed by %s: %s', p_action,
                      array_to_string(troupe.bulk_states(p_action, null), ', ')) end;
    elsif field in ('created_after', 'created_before') then
      begin
        at := (given #>> '{}')::timestamptz;
      exception when others then
        fault := 'must be a time';
      end;
    else
      raise exception 'filter.%: no such field; there are state, queue, kind, tag, limit_key, created_after, created_before, all',
        left(field, 64) using errcode = 'TR400';
    end if;
    if fault is not null then
      raise exception 'filter.% %', field, fault using errcode = 'TR400';
    end if;
  end loop;
  if p_action = 'retry' and p_ids is null and f ->> 'state' is null then
    raise exception 'filter.state is missing: what has completed would be run again, too' using errcode = 'TR400';
  end if;
  op.action := p_action; op.filter := f; op.queue := p_to_queue; op.priority := p_to_priority;
  op.reached := 0;
  -- Times as they are meant now, whatever the time zone of who goes on with it.
  for field in select k from jsonb_object_keys(f) k where k in ('created_after', 'created_before') loop
    op.filter := op.filter || jsonb_build_object(
      field, to_char((f ->> field)::timestamptz at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
  end loop;
  if p_ids is null then
    op.up_to := (select case when is_called then last_value else 0 end from troupe.job_id_seq);
  else
    op.ids := array(select distinct i from unnest(p_ids) i order by i);
    op.up_to := op.ids[cardinality(op.ids)];
  end if;
  return op;
end $$;

-- Begins an operation on all jobs that fit and are there now. Of `filter`: state, queue, kind, tag, limit_key,
-- created_after, created_before, or "all": true; or ids. Returns its number.
create function troupe.bulk(action text, filter jsonb default null, ids bigint[] default null,
                            to_queue text default null, to_priority int default null,
                            created_by text default null)
returns bigint language plpgsql as $$
#variable_conflict use_variable
declare
  most_running constant int := 100;
  op troupe.bulk_operation := troupe.bulk_asked(action, filter, ids, to_queue, to_priority);
  made bigint;
begin
  if (select count(*) from troupe.bulk_operation b where b.state = 'running') >= most_running then
    raise exception '% bulk operations are running; wait for one of them or cancel it', most_running
      using errcode = 'TR409';
  end if;
  insert into troupe.bulk_operation as b (up_to, priority, action, queue, created_by, filter, ids)
  values (op.up_to, op.priority, op.action, op.queue, coalesce(created_by, session_user), op.filter, op.ids)
  returning b.id into made;
  -- What ended long ago is forgotten.
  delete from troupe.bulk_operation b
   where b.id in (select x.id from troupe.bulk_operation x
                   where x.state <> 'running' and x.ended_at < now() - interval '7 days'
                   order by x.ended_at limit 100 for update skip locked);
  return made;
end $$;

-- How many jobs it would meet now, with the first ten of them. Counts to 10000 and looks at 200000 rows;
-- beyond, `more`: at least so many.
create function troupe.bulk_preview(action text, filter jsonb default null, ids bigint[] default null,
                                    to_queue text default null, to_priority int default null,
                                    out matched bigint, out more boolean, out sample bigint[])
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set jit = off as $$
#variable_conflict use_variable
declare
  op troupe.bulk_operation := troupe.bulk_asked(action, filter, ids, to_queue, to_priority);
  looks int := 200000;
  part record;
begin
  matched := 0; sample := '{}';
  loop
    select * into part from troupe.bulk_candidates(op, 2000, least(looks, 20000));
    if op.ids is not null then
      part.jobs := array(
        select s.id from troupe.standing(part.jobs) s
         where s.state = any (troupe.bulk_states(op.action, null))
           and troupe.bulk_fits(op.filter, op.queue, op.priority, s.queue, s.kind, s.priority, s.tags,
                                s.limit_key, s.created_at));
    end if;
    sample := sample || part.jobs[:10 - cardinality(sample)];
    matched := matched + cardinality(part.jobs);
    looks := looks - greatest(part.looked, 1);
    op.reached := part.reached;
    exit when op.reached >= op.up_to or looks <= 0 or matched > 10000;
  end loop;
  more := op.reached < op.up_to;
  if matched > 10000 then
    matched := 10000;
    more := true;
  end if;
end $$;

-- Nothing more of it is done. What was done stays.
create function troupe.cancel_bulk(operation bigint) returns void language plpgsql
set enable_seqscan = off set jit = off as $$
declare
  was text;
begin
  select b.state into was from troupe.bulk_operation b where b.id = operation for update;
  if not found then
    raise exception 'there is no bulk operation %', operation using errcode = 'TR404';
  elsif was <> 'running' then
    raise exception 'bulk operation % is already %', operation, was using errcode = 'TR409';
  end if;
  update troupe.bulk_operation b set state = 'cancelled', ended_at = clock_timestamp() where b.id = operation;
end $$;

-- -- what is done to many jobs ---------------------------------------------------------------------

-- The callers of these hold the jobs and what waits for its time. Where an entry is taken back for good, as a
-- cancel does not, they also see to it that no claim has it: by the lanes, before or after.

-- What was set aside for its key and waits no more. Not waited for: a claim drops such rows, too.
create function troupe.drop_parked(p_jobs bigint[]) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set jit = off as $$
begin
  if exists (select from troupe.parked) then
    delete from troupe.parked p
     using (select x.queue, x.limit_key, x.priority, x.job_id, x.attempt from troupe.parked x
             where x.job_id = any (p_jobs) for update skip locked) g
     where p.queue = g.queue and p.limit_key = g.limit_key and p.priority = g.priority
       and p.job_id = g.job_id and p.attempt = g.attempt;
  end if;
end $$;

-- The lane of each job where it is now.
create function troupe.lanes_of(p_jobs bigint[]) returns table (job_id bigint, lane int) language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  return query
  select g.i, coalesce((select l.id from troupe.lane l
                         where l.queue = j.queue and l.priority = j.priority and l.shard = g.i % 4),
                       troupe.lane_for(j.queue, j.priority, g.i))
    from unnest(p_jobs) g(i)
    cross join lateral (select x.queue, x.priority from troupe.job x where x.id = g.i offset 0) j;
end $$;

-- As troupe.cancel. Which were cancelled, and which of them run.
create function troupe.cancel_jobs(p_jobs bigint[], p_states text[], out changed bigint[], out running bigint[])
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  todo bigint[] := p_jobs;
  made bigint[];
  ran bigint[];
  one bigint;
begin
  changed := '{}'; running := '{}';
  for tries in 1..100 loop -- an attempt that ends at this moment makes its successor the current one
    with now as materialized (
      select s.* from troupe.standing(todo) s where s.state = any (p_states)),
    ended as (
      insert into troupe.attempt (job_id, attempt, outcome, node, started_at)
      select n.id, n.attempt + 1, 2, n.node, n.taken_at from now n
      on conflict do nothing
      returning job_id)
    select coalesce(array_agg(n.id) filter (where e.job_id is not null), '{}'),
           coalesce(array_agg(n.id) filter (where e.job_id is not null and n.state = 'running'), '{}'),
           array_agg(n.id) filter (where e.job_id is null)
      into made, ran, todo
      from now n left join ended e on e.job_id = n.id;
    changed := changed || made;
    running := running || ran;
    exit when todo is null;
  end loop;
  with gone as (
    delete from troupe.deferred d where d.job_id = any (changed) returning d.job_id)
  insert into troupe.revoked (job_id, attempt, queue, priority)
  select s.id, s.attempt, s.queue, s.priority from troupe.standing(changed) s
   where not exists (select from gone g where g.job_id = s.id)
  on conflict do nothing;
  for one in select c.job_id from troupe.crawl c where c.job_id = any (changed) and not c.closed order by 1 loop
    perform troupe.close_crawl(one);
  end loop;
end $$;

-- As troupe.retry; the caller holds the keys of those that have one.
create function troupe.retry_jobs(p_jobs bigint[], p_low bigint, p_high bigint) returns bigint[] language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  live constant text[] := '{scheduled,available,running,retryable}';
  final bigint[];
  refused bigint[];
  jobs bigint[];
  attempts smallint[];
begin
  final := array(select i from unnest(p_jobs) i
                  where not exists (select from troupe.deferred d where d.job_id = i offset 0));
  -- Of several that have one key the first takes it.
  with mine as materialized (
    select u.job_id, u.digest, coalesce(u.states, '{}') || live as states, k.job_id as holder
      from unnest(final) g(i)
      cross join lateral (
        select x.* from troupe.unique_job x
         where x.job_id = g.i and (x.ends_at is null or x.ends_at > clock_timestamp()) offset 0) u
      cross join lateral (select x.job_id from troupe.unique_key x where x.digest = u.digest offset 0) k),
  held as materialized (
    select s.id, s.state from troupe.standing(array(select distinct m.holder from mine m)) s),
  free as (
    select distinct on (m.digest) m.job_id, m.digest
      from mine m left join held h on h.id = m.holder
     where m.holder = m.job_id or h.id is null or h.state <> all (m.states)
     order by m.digest, m.job_id),
  taken as (
    update troupe.unique_key k set job_id = f.job_id from free f where k.digest = f.digest)
  select coalesce(array_agg(m.job_id), '{}') into refused
    from mine m where not exists (select from free f where f.job_id = m.job_id);
  with gone as (
    delete from troupe.deferred d where d.job_id = any (p_jobs) returning d.job_id, d.attempt),
  opened as (
    update troupe.attempt a set reopened = true
     where a.job_id = any (final) and a.job_id between p_low and p_high
       and a.job_id <> all (refused) and a.outcome in (1, 2, 3) and not a.reopened
    returning a.job_id, a.attempt)
  select array_agg(x.job_id order by x.job_id), array_agg(x.attempt order by x.job_id) into jobs, attempts
    from (select g.job_id, g.attempt from gone g
          union all
          select o.job_id, (o.attempt + 1)::smallint from opened o) x;
  insert into troupe.ready (lane, job_id, attempt)
  select l.lane, x.i, x.a from unnest(jobs, attempts) x(i, a) join troupe.lanes_of(jobs) l on l.job_id = x.i
   order by x.i;
  perform troupe.wake(array(select j.queue from troupe.job j where j.id = any (jobs)));
  return coalesce(jobs, '{}');
end $$;

-- As troupe.delete_job; the caller holds the keys of those that have one. Entries are of those that are
-- available, the attempts that they wait for. TR499: one of these did not wait.
create function troupe.delete_jobs(p_jobs bigint[], p_low bigint, p_high bigint, p_available bigint[],
                                   p_entries smallint[])
returns bigint[] language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  ran boolean;
begin
  delete from troupe.deferred d where d.job_id = any (p_jobs);
  insert into troupe.revoked (job_id, attempt, queue, priority)
  select x.i, x.a, j.queue, j.priority
    from unnest(p_available, p_entries) x(i, a)
    cross join lateral (select y.queue, y.priority from troupe.job y where y.id = x.i offset 0) j
  on conflict do nothing;
  delete from troupe.unique_key k using troupe.unique_job u
   where u.job_id = any (p_jobs) and k.digest = u.digest and k.job_id = u.job_id;
  delete from troupe.unique_job u where u.job_id = any (p_jobs);
  with gone as (
    delete from troupe.attempt a where a.job_id = any (p_jobs) and a.job_id between p_low and p_high
    returning a.job_id, a.attempt)
  select exists (select from gone g join unnest(p_available, p_entries) x(i, a) on x.i = g.job_id
                  where g.attempt >= x.a) into ran;
  if ran then
    raise exception using errcode = 'TR499';
  end if;
  delete from troupe.job j where j.id = any (p_jobs) and j.id between p_low and p_high;
  return p_jobs;
end $$;

-- These jobs were changed: brings what waits of them into the lanes where they belong now. The entry of one
-- that is available is taken back from its old lanes, and the attempt that waited noted as not run; when it
-- was run meanwhile, that is a unique_violation.
create function troupe.change_lanes(p_jobs bigint[], p_queues text[], p_priorities smallint[],
                                    p_available bigint[], p_entries smallint[], p_note text)
returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  lanes int[];
begin
  lanes := array(select l.lane from unnest(p_jobs) with ordinality g(i, o)
                   join troupe.lanes_of(p_jobs) l on l.job_id = g.i order by g.o);
  update troupe.deferred d set lane = x.lane from unnest(p_jobs, lanes) x(i, lane) where d.job_id = x.i;
  with moved as materialized (
    select x.i, x.q, x.p, x.lane, e.a from unnest(p_jobs, p_queues, p_priorities, lanes) x(i, q, p, lane)
      join unnest(p_available, p_entries) e(i, a) on e.i = x.i),
  noted as (
    insert into troupe.attempt (job_id, attempt, outcome, reopened, error)
    select m.i, m.a, 2, true, p_note from moved m),
  taken as (
    insert into troupe.revoked (job_id, attempt, queue, priority)
    select m.i, m.a, m.q, m.p from moved m on conflict do nothing)
  insert into troupe.ready (lane, job_id, attempt)
  select m.lane, m.i, m.a + 1 from moved m order by m.i;
  perform troupe.wake(array(select j.queue from troupe.job j where j.id = any (p_available)));
end $$;

-- The key that a job of this rule has in that queue, in the stretch of time that it was made for.
create function troupe.unique_digest_in(p_kind text, p_queue text, p_args jsonb, p_rule jsonb,
                                        p_ends_at timestamptz)
returns bytea language sql stable as $$
  select troupe.unique_digest(p_kind, p_queue, p_args, p_rule,
                              coalesce(p_ends_at - interval '1 ms', now()));
$$;

-- Of these jobs, those whose key is another one in that queue, or cannot be told: digest is null then.
create function troupe.keys_in(p_jobs bigint[], p_queue text)
returns table (job_id bigint, digest bytea, old bytea, states text[]) language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  return query
  select g.i, case when u.rule is not null
                   then troupe.unique_digest_in(j.kind, p_queue, j.args, u.rule, u.ends_at) end,
         u.digest, coalesce(u.states, '{scheduled,available,running,retryable}')
    from unnest(p_jobs) g(i)
    cross join lateral (
      select x.* from troupe.unique_job x
       where x.job_id = g.i and (x.ends_at is null or x.ends_at > clock_timestamp())
         and (x.rule is null or x.rule -> 'queue' = 'true') offset 0) u
    cross join lateral (select x.kind, x.args from troupe.job x where x.id = g.i offset 0) j;
end $$;

-- Takes the rows of these keys, in the one order that all do, and makes those that are not there: of job 0.
create function troupe.hold_keys(p_digests bytea[]) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  insert into troupe.unique_key (job_id, digest)
  select 0, d from (select distinct d from unnest(p_digests) d where d is not null) x order by d
  on conflict (digest) do update set job_id = excluded.job_id where false; -- locks it
end $$;

-- Moves waiting jobs to another queue or priority. Those whose key would be another one's there stay; the
-- caller holds the keys, and the lanes of those that are available. Which were moved.
create function troupe.move_jobs(p_jobs bigint[], p_low bigint, p_high bigint, p_available bigint[],
                                 p_entries smallint[], p_queue text, p_priority smallint, p_note text)
returns bigint[] language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  jobs bigint[] := p_jobs;
  refused bigint[];
  queues text[];
  priorities smallint[];
begin
  if p_queue is not null then
    with mine as materialized (select * from troupe.keys_in(p_jobs, p_queue)),
    stands as materialized (select s.id, s.state from troupe.standing(p_jobs) s),
    held as materialized (
      select k.digest, k.job_id,
             (select s.state from troupe.standing(array[k.job_id]) s) as state
        from troupe.unique_key k
       where k.job_id <> 0 and k.digest = any (array(select m.digest from mine m))),
    free as materialized (
      select m.*, s.state from mine m join stands s on s.id = m.job_id left join held h on h.digest = m.digest
       where m.digest is not null
         and (h.state is null or h.job_id = m.job_id or h.state <> all (m.states))),
    -- Of several that come to one key, the first.
    first as materialized (
      select f.* from free f
       where not exists (select from free e where e.digest = f.digest and e.job_id < f.job_id
                                              and e.state = any (f.states))),
    taken as (
      update troupe.unique_key k set job_id = f.job_id
        from (select x.digest, max(x.job_id) as job_id from first x group by x.digest) f
       where k.digest = f.digest),
    left_behind as (
      delete from troupe.unique_key k using first f
       where f.old <> f.digest and k.digest = f.old and k.job_id = f.job_id),
    renamed as (
      update troupe.unique_job u set digest = f.digest from first f where u.job_id = f.job_id)
    select coalesce(array_agg(m.job_id), '{}') into refused
      from mine m where not exists (select from first f where f.job_id = m.job_id);
    jobs := array(select i from unnest(p_jobs) i where i <> all (refused) order by i);
  end if;
  select array_agg(j.queue order by g.o), array_agg(j.priority order by g.o) into queues, priorities
    from unnest(jobs) with ordinality g(i, o)
    cross join lateral (select x.queue, x.priority from troupe.job x where x.id = g.i offset 0) j;
  if queues is null then
    return '{}';
  end if;
  update troupe.job j set queue = coalesce(p_queue, j.queue), priority = coalesce(p_priority, j.priority)
   where j.id = any (jobs) and j.id between p_low and p_high;
  perform troupe.open_lanes(array_agg(x.q), array_agg(x.p))
    from (select distinct coalesce(p_queue, q) as q, coalesce(p_priority, p) as p
            from unnest(queues, priorities) u(q, p)) x;
  perform troupe.change_lanes(jobs, queues, priorities, p_available, p_entries, p_note);
  return jobs;
end $$;

-- Of these jobs of an operation: does what is to be done to those for which it still holds, and passes by the
-- others. Holds the keys first, then the jobs, what waits for its time, and last the lanes, as all do. Waits
-- for nobody's job: it ends before the first that somebody else holds.
create function troupe.bulk_apply(op troupe.bulk_operation, p_jobs bigint[], p_reached bigint,
                                  out met bigint, out reached bigint, out changed bigint[],
                                  out running bigint[], out queues text[])
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
declare
  states constant text[] := troupe.bulk_states(op.action, op.filter ->> 'state');
  low constant bigint := p_jobs[1];
  high constant bigint := p_jobs[cardinality(p_jobs)];
  digests bytea[];
  held bigint[];
  deferred bigint[];
  busy bigint;
  jobs bigint[];
  available bigint[];
  entries smallint[]; -- the attempts that these wait for
  lanes int[];        -- where these may be
begin
  running := '{}'; changed := '{}'; queues := '{}'; reached := p_reached; met := cardinality(p_jobs);
  if op.action in ('retry', 'delete') then
    digests := array(select u.digest from unnest(p_jobs) g(i) cross join lateral (
                       select x.digest from troupe.unique_job x where x.job_id = g.i offset 0) u);
  elsif op.action = 'move' then
    select array_agg(d) into digests from troupe.keys_in(p_jobs, op.queue) k, unnest(array[k.digest, k.old]) d;
  end if;
  if digests <> '{}' then
    perform troupe.hold_keys(digests);
  end if;
  held := array(select j.id from troupe.job j
                 where j.id = any (p_jobs) and j.id between low and high order by j.id
                   for update skip locked);
  -- A statement of its own: what is not held is gone, or somebody's.
  select min(g.i) into busy
    from (select i from unnest(p_jobs) i except select i from unnest(held) i) g
   where exists (select from troupe.job j where j.id = g.i offset 0);
  if busy = low then
    raise exception 'job % is held by another transaction', busy using errcode = '55P03';
  elsif busy is not null then
    reached := busy - 1;
    met := array_position(p_jobs, busy) - 1;
    held := array(select i from unnest(held) i where i < busy order by i);
  end if;
  if digests <> '{}' and exists (
       select from troupe.unique_job u
        where u.job_id = any (held) and u.digest <> all (digests)
          and (op.action <> 'move' or u.rule is null or u.rule -> 'queue' = 'true')) then
    raise exception 'a unique key has changed meanwhile' using errcode = '40001';
  end if;
  deferred := array(select d.job_id from troupe.deferred d where d.job_id = any (held)
                     order by d.job_id for update);
  select array_agg(s.id order by s.id), array_agg(s.id order by s.id) filter (where s.state = 'available'),
         array_agg((s.attempt + 1)::smallint order by s.id) filter (where s.state = 'available')
    into jobs, available, entries
    from troupe.standing(held) s
   where s.state = any (states)
         -- Failed or put off at this moment: it is somebody else's yet.
     and (s.state not in ('scheduled', 'retryable') or s.id = any (deferred))
     and troupe.bulk_fits(op.filter, op.queue, op.priority, s.queue, s.kind, s.priority, s.tags,
                          s.limit_key, s.created_at);
  if op.action in ('delete', 'move', 'reprioritise') and available <> '{}' then
    lanes := array(
      select x.id from (select distinct s.queue, s.priority from troupe.standing(available) s) p
        join troupe.lane x on x.queue = p.queue and x.priority = p.priority order by x.id);
  end if;
  -- What a claim holds while it reads, a lane, is taken at the very end, to be in its way for a moment only. Who
  -- was handed out before has it all done again, the other way round.
  for round in 1..2 loop
    begin
      if round = 2 and lanes is not null then
        perform from troupe.lane l where l.id = any (lanes) order by l.id for update;
        jobs := array(select i from unnest(jobs) i where i <> all (available) order by i);
        select array_agg(s.id order by s.id), array_agg((s.attempt + 1)::smallint order by s.id)
          into available, entries from troupe.standing(available) s where s.state = 'available';
        jobs := jobs || available;
      end if;
      if jobs <> '{}' then
        if op.action = 'cancel' then
          select c.changed, c.running into changed, running from troupe.cancel_jobs(jobs, states) c;
        elsif op.action = 'retry' then
          changed := troupe.retry_jobs(jobs, low, high);
        elsif op.action = 'delete' then
          changed := troupe.delete_jobs(jobs, low, high, available, entries);
        else
          changed := troupe.move_jobs(jobs, low, high, available, entries, op.queue, op.priority,
                                      case op.action when 'move' then 'moved while it waited'
                                                     else 'reprioritised while it waited' end);
        end if;
      end if;
      if round = 1 and lanes is not null then
        perform from troupe.lane l where l.id = any (lanes) order by l.id for update;
        -- A statement of its own, to see the leases of the claims that were waited for, and what has run by
        -- them and was ended since. A job that is moved has an attempt of that number here.
        if exists (select from troupe.leased_of(available) l
                     join unnest(available, entries) e(i, a) on e.i = l.job_id and e.a = l.attempt)
           or op.action = 'delete'
              and exists (select from troupe.attempt a where a.job_id = any (available)
                                                         and a.job_id between low and high) then
          raise exception using errcode = 'TR499';
        end if;
      end if;
      exit;
    exception when sqlstate 'TR499' or unique_violation then
      if round = 2 then
        raise;
      end if;
      changed := '{}';
    end;
  end loop;
  perform troupe.drop_parked(changed);
  if digests <> '{}' then
    delete from troupe.unique_key k where k.job_id = 0 and k.digest = any (digests);
  end if;
  if op.action in ('retry', 'move', 'reprioritise') then
    queues := array(select distinct s.queue from troupe.standing(changed) s);
  end if;
end $$;

-- One step of the operation that waited longest for one; operation is null when none runs. At most p_limit jobs
-- and p_looks rows. A step that fails is undone, noted, and tried again later with fewer jobs. Nodes are to be
-- told of queues where work may wait, and of cancelled jobs that run.
create function troupe.bulk_step(p_limit int default 1000, p_looks int default 20000,
                                 out operation bigint, out action text, out state text, out matched bigint,
                                 out changed bigint, out queues text[], out running bigint[], out error text)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set jit = off set lock_timeout = '300ms' as $$
declare
  op troupe.bulk_operation;
  part record;
  done record;
begin
  matched := 0; changed := 0; queues := '{}'; running := '{}';
  -- One snapshot for all statements would not show what was committed before the locks came.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'steps of bulk operations are for read committed' using errcode = 'TR400';
  end if;
  select * into op from troupe.bulk_operation b
    where b.state = 'running' and b.try_at <= clock_timestamp()
    order by b.stepped_at, b.id limit 1 for update skip locked;
  if not found then
    return;
  end if;
  operation := op.id; action := op.action;
  begin
    p_limit := greatest(1, p_limit >> least(op.failures, 6));
    select * into part from troupe.bulk_candidates(op, p_limit, p_looks);
    if part.jobs <> '{}' then
      select * into done from troupe.bulk_apply(op, part.jobs, part.reached);
      matched := done.met; changed := cardinality(done.changed);
      queues := done.queues; running := done.running;
      part.reached := done.reached;
    end if;
    state := case when part.reached >= op.up_to then 'done' else 'running' end;
    update troupe.bulk_operation b
       set reached = part.reached, state = bulk_step.state, matched = b.matched + bulk_step.matched,
           changed = b.changed + bulk_step.changed,
           skipped = b.skipped + bulk_step.matched - bulk_step.changed, failures = 0, error = null,
           stepped_at = clock_timestamp(),
           ended_at = case when part.reached >= op.up_to then clock_timestamp() end
     where b.id = op.id;
  exception when others then
    get stacked diagnostics error = message_text;
    matched := 0; changed := 0; queues := '{}'; running := '{}'; state := 'running';
    update troupe.bulk_operation b
       set failures = b.failures + 1, error = bulk_step.error, stepped_at = clock_timestamp(),
           try_at = clock_timestamp() + least(60, 2 ^ least(b.failures, 6)) * interval '1 second'
     where b.id = op.id;
  end;
end $$;

-- -- one job ---------------------------------------------------------------------------------------

-- Changes a job that waits. Of `changes`: args, priority, queue, max_attempts, timeout_ms, tags, run_at; what
-- is not in it stays. run_at null, or past: now. TR409 when it does not wait, or when its unique key would be
-- another job's.
create function troupe.edit(job bigint, changes jsonb) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
declare
  p_job constant bigint := job;
  name constant text := '^[A-Za-z0-9._:-]{1,128}$';
  field text;
  given jsonb;
  fault text;
  at timestamptz;
  mine troupe.unique_job;
  key bytea;
  old troupe.job;
  new troupe.job;
  now_in text;
  entry smallint; -- the attempt that it waits for
  holder bigint;
  held text;
begin
  if jsonb_typeof(changes) is distinct from 'object' or changes = '{}' then
    raise exception 'changes must be an object with at least one field' using errcode = 'TR400';
  end if;
  for field, given in select * from jsonb_each(changes) loop
    fault := case field
      when 'args' then case when pg_column_size(given) > 2097152 then 'must have at most 2 MiB' end
      when 'queue' then
        case when (jsonb_typeof(given) = 'string' and given #>> '{}' ~ name) is not true
             then 'must be 1 to 128 of A-Z a-z 0-9 . _ : -' end
      when 'priority' then
        case when jsonb_typeof(given) <> 'number' or given not in ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
             then 'must be 0 to 9' end
      when 'max_attempts' then
        case when jsonb_typeof(given) <> 'number' then 'must be 1 to 1000'
             when given::numeric <> trunc(given::numeric) or given::numeric not between 1 and 1000
               then 'must be 1 to 1000' end
      when 'timeout_ms' then
        case when jsonb_typeof(given) = 'null' then null
             when jsonb_typeof(given) <> 'number' then 'must be 1 to 604800000 or null'
             when given::numeric <> trunc(given::numeric) or given::numeric not between 1 and 604800000
               then 'must be 1 to 604800000 or null' end
      when 'tags' then
        case when jsonb_typeof(given) <> 'array' then 'must be at most 32 texts of 1 to 255 bytes'
             when jsonb_array_length(given) > 32
                  or exists (select from jsonb_array_elements(given) g
                              where jsonb_typeof(g) <> 'string' or octet_length(g #>> '{}') not between 1 and 255)
               then 'must be at most 32 texts of 1 to 255 bytes' end
      when 'run_at' then
        case when jsonb_typeof(given) not in ('string', 'null') then 'must be a time or null' end
      else 'no such field; there are args, priority, queue, max_attempts, timeout_ms, tags, run_at' end;
    if fault is null and field = 'run_at' and given <> 'null' then
      begin
        at := (given #>> '{}')::timestamptz;
      exception when others then
        fault := 'must be a time or null';
      end;
      if at not between now() - interval '3650 days' and now() + interval '3650 days' then
        fault := 'must lie within ten years';
      end if;
    end if;
    if fault is not null then
      raise exception '% %', left(field, 64), fault using errcode = 'TR400';
    end if;
  end loop;
  if at <= clock_timestamp() then
    at := null;
  end if;

  -- Keys first, then the job, what waits for its time, and the lanes: one order for everybody.
  select * into mine from troupe.unique_job u
    where u.job_id = p_job and (u.ends_at is null or u.ends_at > clock_timestamp());
  if found and (changes ? 'queue' or changes ? 'args') then
    if mine.rule is null then
      raise exception 'job % has a unique key of which is not known whether it has to change', p_job
        using errcode = 'TR409';
    end if;
    select troupe.unique_digest_in(j.kind, coalesce(changes ->> 'queue', j.queue),
                                   coalesce(changes -> 'args', j.args), mine.rule, mine.ends_at)
      into key from troupe.job j where j.id = p_job;
    perform troupe.hold_keys(array[mine.digest, key]);
  end if;
  perform troupe.hold_waiting(array[p_job]);
  select * into old from troupe.job j where j.id = p_job;
  if not found then
    raise exception 'there is no job %', p_job using errcode = 'TR404';
  end if;
  select s.state, s.attempt + 1 into now_in, entry from troupe.standing(array[p_job]) s;
  if now_in not in ('scheduled', 'available', 'retryable') then
    raise exception 'job % is % and waits no more', p_job, now_in using errcode = 'TR409';
  end if;
  perform from troupe.deferred d where d.job_id = p_job for update;
  if not found and now_in <> 'available' then -- failed, and was due, just now
    raise exception 'job % has changed meanwhile', p_job using errcode = '40001';
  end if;
  if key is not null
     and (key <> troupe.unique_digest_in(old.kind, coalesce(changes ->> 'queue', old.queue),
                                            coalesce(changes -> 'args', old.args), mine.rule, mine.ends_at)
          or mine.digest <> (select u.digest from troupe.unique_job u where u.job_id = p_job)) then
    raise exception 'job % has changed meanwhile', p_job using errcode = '40001';
  end if;
  if key <> mine.digest then
    select k.job_id into holder from troupe.unique_key k where k.digest = key;
    held := (select s.state from troupe.standing(array[holder]) s);
    if holder <> p_job and held = any (coalesce(mine.states, '{scheduled,available,running,retryable}')) then
      raise exception 'job % has the same unique key and is %', holder, held using errcode = 'TR409';
    end if;
    update troupe.unique_key k set job_id = p_job where k.digest = key;
    delete from troupe.unique_key k where k.digest = mine.digest and k.job_id in (p_job, 0);
    update troupe.unique_job u set digest = key where u.job_id = p_job;
  elsif key is not null then
    delete from troupe.unique_key k where k.digest = mine.digest and k.job_id = 0;
  end if;
  update troupe.job j
     set args = coalesce(changes -> 'args', j.args),
         queue = coalesce(changes ->> 'queue', j.queue),
         priority = coalesce((changes ->> 'priority')::smallint, j.priority),
         max_attempts = coalesce((changes ->> 'max_attempts')::smallint, j.max_attempts),
         timeout_ms = case when changes ? 'timeout_ms' then (changes ->> 'timeout_ms')::bigint
                           else j.timeout_ms end,
         tags = case when changes ? 'tags'
                     then nullif(array(select jsonb_array_elements_text(changes -> 'tags')), '{}')
                     else j.tags end,
         run_at = case when changes ? 'run_at' then at else j.run_at end
   where j.id = p_job
  returning * into new;
  perform troupe.open_lanes(array[new.queue], array[new.priority]);
  if changes ? 'run_at' and at is not null and now_in = 'available' then
    perform troupe.put_off(p_job, at, old.queue, old.priority);
    return;
  end if;
  if (new.queue, new.priority) <> (old.queue, old.priority) then
    perform troupe.change_lanes(
      array[p_job], array[old.queue], array[old.priority],
      case now_in when 'available' then array[p_job] end, array[entry], 'edited while it waited');
    perform troupe.drop_parked(array[p_job]);
  end if;
  if at is not null then
    update troupe.deferred d set due_at = at where d.job_id = p_job;
    perform troupe.wake_for_deferred(array[new.queue], array[at], null);
  elsif changes ? 'run_at' then
    with gone as (
      delete from troupe.deferred d where d.job_id = p_job returning d.attempt, d.lane)
    insert into troupe.ready (lane, job_id, attempt) select g.lane, p_job, g.attempt from gone g;
    perform troupe.wake(array[new.queue]);
  end if;
end $$;

-- An available job waits for its time. Its entry is taken back from the lanes where it was.
create function troupe.put_off(p_job bigint, p_due timestamptz, p_queue text, p_priority smallint)
returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  current constant smallint := (select s.attempt from troupe.standing(array[p_job]) s) + 1;
begin
  insert into troupe.attempt (job_id, attempt, outcome, reopened, error)
  values (p_job, current, 2, true, 'put off while it waited');
  insert into troupe.revoked (job_id, attempt, queue, priority)
  values (p_job, current, p_queue, p_priority) on conflict do nothing;
  insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
  select p_job, p_due, l.lane, current + 1, 1 from troupe.lanes_of(array[p_job]) l;
  perform troupe.wake_for_deferred(array[p_queue], array[p_due], null);
  perform troupe.drop_parked(array[p_job]);
end $$;
