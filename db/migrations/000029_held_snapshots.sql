-- While somebody holds a snapshot, no version of a row may be cleaned up that it could still see, and no index
-- entry either: whoever looks for the living among them passes all that have died since. What is read all the
-- time is therefore looked for where the dead are not.

-- -- lanes -----------------------------------------------------------------------------------------

-- Every claim updates a lane. Which lanes there are does not change, and most want to know nothing else.
lock table troupe.lane in access exclusive mode; -- from the look to the end
create table troupe.known_lane (
  id int primary key,
  priority smallint not null,
  shard smallint not null,
  queue text not null,
  unique (queue, priority, shard));
insert into troupe.known_lane (id, priority, shard, queue)
select l.id, l.priority, l.shard, l.queue from troupe.lane l;

-- Of a lane's versions one is valid, and its era is the highest: an index that is read from its end meets it
-- first. Within an era versions are in few pages and share an index entry (HOT); an update in which the era
-- changes begins another one.
alter table troupe.lane add column moves bigint not null default 0, add column era bigint not null default 0;
alter table troupe.lane drop constraint lane_pkey, drop constraint lane_queue_priority_shard_key,
                        add primary key (id, era);
create index lane_queue on troupe.lane (queue, priority, shard);

-- Where claims stand. A row that is to be locked is looked up by its id and an era that is not older.
create view troupe.lane_now as
select k.id, k.queue, k.priority, k.shard, l.xact, l.seq, l.part, l.late_xact, l.late_seq, l.late_part,
       l.open, l.draining, l.served_at, l.taken, l.era
  from troupe.known_lane k
 cross join lateral (select x.* from troupe.lane x where x.id = k.id order by x.era desc limit 1) l;

-- Locks lanes, in an order that all share.
create function troupe.hold_lanes(p_lanes int[]) returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
set jit = off as $$
declare
  one int;
begin
  for one in select distinct u.id from unnest(p_lanes) u(id) order by u.id loop
    perform from troupe.lane x
      where x.id = one and x.era >= (select l.era from troupe.lane l where l.id = one order by l.era desc limit 1)
        for update;
  end loop;
end $$;

create function troupe.make_lanes(p_queue text, p_priority smallint, p_shards int[]) returns void
language sql as $$
  with made as (
    insert into troupe.known_lane (id, queue, priority, shard)
    select nextval('troupe.lane_id_seq'), p_queue, p_priority, s from unnest(p_shards) s
    on conflict do nothing
    returning *)
  insert into troupe.lane (id, queue, priority, shard) overriding system value
  select m.id, m.queue, m.priority, m.shard from made m order by m.id;
$$;

-- Whoever was making lanes while this migration waited for the table makes them known, too, or is undone.
create function troupe.know_lanes() returns trigger language plpgsql as $$
begin
  insert into troupe.known_lane (id, queue, priority, shard)
  select m.id, m.queue, m.priority, m.shard from made m on conflict do nothing;
  if exists (select from made m where not exists (select from troupe.known_lane k where k.id = m.id)) then
    raise exception 'lanes of this queue were made by a newer program meanwhile' using errcode = '40001';
  end if;
  return null;
end $$;
create trigger know_lanes after insert on troupe.lane
  referencing new table as made for each statement execute function troupe.know_lanes();

-- As before, but for the table of lanes that are known.
create or replace function troupe.open_lanes(p_queues text[], p_priorities smallint[])
returns void
language plpgsql as $_$
declare
  pair record;
begin
  for pair in
    select distinct q, p from unnest(p_queues, p_priorities) g(q, p)
     where not exists (select from troupe.known_lane l where l.queue = q and l.priority = p and l.shard = 3)
     order by q, p
  loop
    if pair.q !~ '^[A-Za-z0-9._:-]{1,128}$' or pair.p not between 0 and 9 then
      raise exception 'there can be no queue "%" with priority %', pair.q, pair.p
        using errcode = 'check_violation';
    end if;
    if pg_try_advisory_xact_lock(hashtextextended('lanes of ' || pair.q, pair.p)) then
      perform troupe.make_lanes(pair.q, pair.p, array[0, 1, 2, 3]);
    elsif not exists (select from troupe.known_lane l where l.queue = pair.q and l.priority = pair.p) then
      perform troupe.make_lanes(pair.q, pair.p, array[4 + floor(random() * 32000)::int]);
    end if;
  end loop;
end  $_$;

create or replace function troupe.lane_for(p_queue text, p_priority smallint, p_n bigint)
returns int
language sql stable as $$
  select l.id from troupe.known_lane l where l.queue = p_queue and l.priority = p_priority
   order by l.shard = p_n % 4 desc, l.shard limit 1;
$$;

create or replace function troupe.lanes_of(p_jobs bigint[])
returns table(job_id bigint, lane int)
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  return query
  select g.i, coalesce((select l.id from troupe.known_lane l
                         where l.queue = j.queue and l.priority = j.priority and l.shard = g.i % 4),
                       troupe.lane_for(j.queue, j.priority, g.i))
    from unnest(p_jobs) g(i)
    cross join lateral (select x.queue, x.priority from troupe.job x where x.id = g.i offset 0) j;
end  $$;

create or replace function troupe.enqueue_here(p_node bigint, p_kinds text[], p_queues text[], p_args jsonb[],
  p_priorities smallint[], p_max_attempts smallint[], p_timeouts_ms bigint[], p_tags text[], p_limit_keys
  text[], p_retries jsonb[] default NULL::jsonb[])
returns table(lease bigint, job_id bigint, args jsonb)
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
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
                       where not exists (select from troupe.known_lane l
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
end  $$;

create or replace function troupe.enqueue_many(p_kinds text[], p_queues text[], p_args jsonb[], p_priorities
  smallint[], p_max_attempts smallint[] default NULL::smallint[], p_timeouts_ms bigint[] default
  NULL::bigint[], p_tags text[] default NULL::text[], p_run_at timestamptz[] default NULL::timestamptz[],
  p_delays_ms bigint[] default NULL::bigint[], p_limit_keys text[] default NULL::text[], p_retries jsonb[]
  default NULL::jsonb[], p_has_room boolean default false)
returns bigint[]
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
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
    shards := array(select l.id from troupe.known_lane l
                     where l.queue = p_queues[1] and l.priority = p_priorities[1] and l.shard < 4
                     order by l.shard);
  end if;
  if cardinality(shards) is distinct from 4 then
    if exists (select from unnest(p_queues, p_priorities) g(q, p)
                where not exists (select from troupe.known_lane l
                                   where l.queue = q and l.priority = p and l.shard = 3)) then
      perform troupe.open_lanes(p_queues, p_priorities);
    end if;
    lanes := array(
      select coalesce((select l.id from troupe.known_lane l
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
end  $$;

create or replace function troupe.fold_tallies(p_most int default 200000)
returns bigint
language plpgsql set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
set enable_bitmapscan = off set jit = off as $$
declare
  folded bigint := 0;
  one text;
begin
  for one in
    select k.name from (select distinct l.queue as name from troupe.known_lane l
                        union
                        select q.name from troupe.queue q) k
      left join troupe.tally_base b on b.queue = k.name
     where b.open <> '{}'
        or exists (select from troupe.tally t where t.queue = k.name and t.xact > coalesce(b.xact, '0'))
     order by random()
  loop
    exit when folded >= p_most;
    folded := folded + troupe.fold_tally(one, p_most);
  end loop;
  return folded;
end  $$;

create or replace function troupe.list_counts(p_only text, p_after text, p_limit int)
returns table(queue text, scheduled bigint, available bigint, running bigint, retryable bigint, completed
  bigint, cancelled bigint, discarded bigint)
language plpgsql stable set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
set jit = off as $$
#variable_conflict use_column
begin
  return query
  with known as materialized (
    select k.name from (select distinct l.queue as name from troupe.known_lane l
                        union
                        select q.name from troupe.queue q) k
     where case when p_only is null then k.name > p_after else k.name = p_only end
     order by k.name limit p_limit),
  busy as materialized (select * from troupe.running(array(select k.name from known k)))
  select k.name, t.scheduled,
         t.jobs - t.scheduled - t.retryable - t.completed - t.cancelled - t.discarded - coalesce(b.jobs, 0),
         coalesce(b.jobs, 0), t.retryable, t.completed, t.cancelled, t.discarded
    from known k
   cross join lateral troupe.tallied(k.name) t
    left join busy b on b.queue = k.name
   order by k.name;
end  $$;

create or replace function troupe.list_queues(p_only text, p_after text, p_limit int)
returns table(name text, paused_at timestamptz, concurrency int, version bigint, changed_at timestamptz,
  waiting bigint, running bigint, rate int, rate_period_ms int, rate_burst int, key_concurrency int, key_rate
  int, key_rate_period_ms int, key_rate_burst int, ordered boolean, max_waiting int)
language plpgsql stable set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
set jit = off as $$
#variable_conflict use_column
begin
  return query
  with known as materialized (
    select k.name from (select distinct l.queue as name from troupe.known_lane l
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
end  $$;

create or replace function troupe.recent_queues(p_limit int)
returns text[]
language sql stable as $$
  select coalesce(array_agg(x.queue), '{}') from (
    select l.queue from troupe.lane_now l group by l.queue order by max(l.served_at) desc, l.queue
     limit p_limit) x;
$$;

create or replace function troupe.sleep_on(p_queues text[], p_again text[], p_awake text[])
returns table(queue text, state smallint)
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_variable
declare
  class int;
begin
  perform pg_advisory_unlock_shared(troupe.sleep_lock(q)) from unnest(p_awake) q;
  perform pg_advisory_lock_shared(troupe.sleep_lock(q)) from unnest(p_queues) q;
  foreach queue in array p_queues || p_again loop
    class := hashtext(queue) & 255;
    -- Above "read committed" the look below would have a snapshot from before.
    state := case
      when current_setting('transaction_isolation') <> 'read committed' then 1
      when pg_try_advisory_lock(72331735, class) then (not pg_advisory_unlock(72331735, class))::int
      else 1 end;
    -- As troupe.beat, but what a writer that is still open has written is no work yet, though a cursor
    -- has passed it.
    if exists (
      select from troupe.lane_now l
       where l.queue = sleep_on.queue
         and (l.draining <> '{}'
              or exists (select from unnest(l.open) o where pg_visible_in_snapshot(o, pg_current_snapshot()))
              or exists (select from troupe.ready r
                          where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq)))) then
      state := 2;
      if exists (select from troupe.queue q
                  where q.name = sleep_on.queue
                    and (q.paused_at is not null
                         or q.rate_at is not null and troupe.rate_wait_ms(q.name) > 0
                         or q.head_job is not null
                            and (troupe.head_state(q.head_job, q.head_lease)).state in ('busy', 'later'))) then
        state := 3;
      end if;
      perform pg_advisory_unlock_shared(troupe.sleep_lock(queue));
    end if;
    return next;
  end loop;
end  $$;

create or replace function troupe.entries_wanted(p_partition text)
returns boolean
language plpgsql set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
set enable_bitmapscan = off set jit = off as $_$
declare
  wanted boolean;
begin
  execute format(
    'select exists (
       select from troupe.lane_now l
        where exists (select from troupe.%1$I r where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq))
           or exists (select from troupe.%1$I r where r.lane = l.id and r.xact = any (l.open || l.draining)))',
    p_partition) into wanted;
  return wanted;
end  $_$;

create or replace function troupe.bulk_apply(op troupe.bulk_operation, p_jobs bigint[], p_reached bigint, out
  met bigint, out reached bigint, out changed bigint[], out running bigint[], out queues text[])
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
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
        join troupe.known_lane x on x.queue = p.queue and x.priority = p.priority order by x.id);
  end if;
  -- What a claim holds while it reads, a lane, is taken at the very end, to be in its way for a moment only. Who
  -- was handed out before has it all done again, the other way round.
  for round in 1..2 loop
    begin
      if round = 2 and lanes is not null then
        perform troupe.hold_lanes(lanes);
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
        perform troupe.hold_lanes(lanes);
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
end  $$;

create or replace function troupe.delete_job(p_job bigint)
returns void
language plpgsql set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
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
  perform troupe.hold_lanes(array(select l.id from troupe.known_lane l
                                   where l.queue = j.queue and l.priority = j.priority));
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
  delete from troupe.job where id = p_job; -- before its attempts: how it ended is counted by them
  -- One that was cancelled while it ran may still be in its node's hands: what that has to say of it finds
  -- the outcome there.
  delete from troupe.attempt t
   where t.job_id = p_job
     and not exists (select from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
                      where l.jobs @> array[p_job] and u.i = p_job and u.a = t.attempt);
  update troupe.attempt set reopened = true where job_id = p_job and not reopened;
  if mine is not null then
    delete from troupe.unique_key where digest = mine and job_id = p_job;
    delete from troupe.unique_job where job_id = p_job;
  end if;
end  $$;

create or replace function troupe.hold_waiting(p_jobs bigint[])
returns void
language plpgsql set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  perform from troupe.job j where j.id = any (p_jobs) order by j.id for update;
  perform from troupe.deferred d where d.job_id = any (p_jobs) order by d.job_id for update;
  perform troupe.hold_lanes(array(
    select l.id from troupe.known_lane l
     where (l.queue, l.priority) in (select j.queue, j.priority from troupe.job j
                                      where j.id = any (p_jobs)
                                        and not exists (select from troupe.deferred d
                                                         where d.job_id = j.id))));
end  $$;

-- -- claims ----------------------------------------------------------------------------------------

-- As before, but a lane is looked up with its era, and what was revoked among the jobs that were read.
create or replace function troupe.take(p_node bigint, p_queue text, p_limit int, p_slots int default null,
  p_held int default 0)
returns table(lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind
  text, args jsonb, permits int, permits_changed bigint, again boolean, retry jsonb)
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  candidate record;
  said boolean;
  keyed boolean;
  in_order boolean;
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
  select true, x.key_concurrency is not null or x.key_rate is not null, x.ordered into said, keyed, in_order
    from troupe.queue x where x.name = p_queue;
  if said then
    if keyed then -- so that what one claim counts no other changes
      perform from troupe.queue x where x.name = p_queue for update;
    elsif in_order then
      perform from troupe.queue x where x.name = p_queue for no key update;
    end if;
    select r.room, r.most, r.have into p_limit, most, have
      from troupe.room_for(p_node, p_queue, p_limit, p_slots, p_held) r;
    if keyed then
      return query select * from troupe.take_keyed(p_node, p_queue, p_limit, p_slots, p_held, most, have);
      return;
    elsif in_order then
      return query select * from troupe.take_ordered(p_node, p_queue, p_limit, p_slots);
      return;
    elsif p_limit <= 0 then
      return;
    end if;
  end if;
  loop
    skipped := false;
    for candidate in
      select x.id, x.era from troupe.lane_now x where x.queue = p_queue
       order by x.priority, x.served_at, x.id
    loop
      -- One row at a time: a FOR loop over the locking query would prefetch, and lock, all of them.
      select * into l from troupe.lane x
        where x.id = candidate.id and x.era >= candidate.era for update skip locked;
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
        if own <= runs.xact then
          runs.part := troupe.take_own(l.id, runs.xact, runs.seq, runs.part);
        end if;
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
             taken = taken + got, served_at = clock_timestamp(), moves = moves + 1, era = (moves + 1) / 32
       where x.id = l.id and x.era = l.era;
      continue when got = 0;
      select array_agg(g.i), array_agg(u.a) into ids, ats
        from unnest(firsts, counts, attempts) u(f, c, a) cross join generate_series(u.f, u.f + u.c - 1) g(i);
      whole := not exists (
        select from troupe.revoked v
         where v.job_id between (select min(f) from unnest(firsts) f)
                            and (select max(f + c - 1) from unnest(firsts, counts) u(f, c)));
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
end  $$;

-- As before, but a lane is looked up with its era.
create or replace function troupe.read_lane(p_queue text, p_lane int, p_limit int, p_looks int, out jobs
  bigint[], out attempts smallint[], out keys text[], out fresh text[], out looked int, out firsts bigint[],
  out counts int[], out tries smallint[])
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  l troupe.lane;
  snap pg_snapshot;
  own xid8;
  ended xid8[];
  runs record;
  ids bigint[];
  ats smallint[];
  wanted int;
  late boolean;
  part record;
  whole boolean := true;
  cut int := 0; -- not read off part: that is an error while nothing is assigned to it
begin
  jobs := '{}'; attempts := '{}'; keys := '{}'; fresh := '{}'; looked := 0;
  firsts := '{}'; counts := '{}'; tries := '{}';
  select * into l from troupe.lane x
    where x.id = p_lane and x.era >= (select y.era from troupe.lane y where y.id = p_lane order by y.era desc limit 1)
      for update skip locked;
  if not found then
    return;
  end if;
  if l.draining = '{}' and l.open <> '{}' then
    snap := pg_current_snapshot();
    own := pg_current_xact_id();
    ended := array(select o from unnest(l.open) o where o <> own and pg_visible_in_snapshot(o, snap));
    if ended <> '{}' then
      l.draining := ended; l.late_xact := '0'; l.late_seq := 0; l.late_part := 0;
      l.open := array(select o from unnest(l.open) o where o <> all (ended));
    end if;
  end if;
  loop
    wanted := least(greatest(p_limit - cardinality(jobs), 250), p_looks - looked);
    exit when cardinality(jobs) >= p_limit or wanted <= 0;
    late := l.draining <> '{}';
    if late then
      select * into runs
        from troupe.next_runs(l.id, l.draining, l.late_xact, l.late_seq, l.late_part, wanted, wanted);
    else
      select * into runs from troupe.next_runs(l.id, null, l.xact, l.seq, l.part, wanted, wanted);
    end if;
    exit when runs.got = 0 and not late;
    if runs.got > 0 then
      select array_agg(g.i), array_agg(u.a) into ids, ats
        from unnest(runs.firsts, runs.counts, runs.attempts) u(f, c, a)
             cross join generate_series(u.f, u.f + u.c - 1) g(i);
      select * into part from troupe.sort_entries(p_queue, l.priority, runs.firsts, runs.counts, ids, ats,
                                                  p_limit - cardinality(jobs));
      jobs := jobs || part.jobs; attempts := attempts || part.attempts;
      keys := keys || part.keys; fresh := fresh || part.fresh;
      cut := part.cut;
      whole := whole and cardinality(part.jobs) = runs.got;
      firsts := firsts || runs.firsts; counts := counts || runs.counts; tries := tries || runs.attempts;
      looked := looked + cut;
    end if;
    if late and not runs.more and (runs.got = 0 or cut = runs.got) then
      l.draining := '{}';
      continue;
    end if;
    if cut < runs.got then
      select c.xact, c.seq, c.part into runs.xact, runs.seq, runs.part
        from troupe.cut_runs(runs.firsts, runs.counts, runs.attempts, runs.xacts, runs.seqs, runs.skip, cut) c;
    end if;
    if late then
      l.late_xact := runs.xact; l.late_seq := runs.seq; l.late_part := runs.part;
      continue;
    end if;
    own := pg_current_xact_id();
    if own <= runs.xact then
      runs.part := troupe.take_own(l.id, runs.xact, runs.seq, runs.part);
    end if;
    if pg_snapshot_xmin(runs.snap) < runs.xact or own < runs.xact then
      l.open := l.open || array(select x from pg_snapshot_xip(runs.snap) x
                                 where x > l.xact and x < runs.xact and x <> own);
      if own < runs.xact and own <> all (l.open) then
        l.open := l.open || own;
      end if;
    end if;
    l.xact := runs.xact; l.seq := runs.seq; l.part := runs.part;
    exit when not runs.more and cut = runs.got;
  end loop;
  if not whole then
    firsts := null;
  end if;
  update troupe.lane x
     set xact = l.xact, seq = l.seq, part = l.part, open = l.open, draining = l.draining,
         late_xact = l.late_xact, late_seq = l.late_seq, late_part = l.late_part,
         taken = taken + looked, served_at = clock_timestamp(), moves = moves + 1,
         era = (moves + 1) / 32
   where x.id = l.id and x.era = l.era and (looked > 0 or x.draining <> l.draining or x.open <> l.open);
end   $$;

create or replace function troupe.take_keyed(p_node bigint, p_queue text, p_limit int, p_slots int, p_held
  int, p_most int, p_have int)
returns table(lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind
  text, args jsonb, permits int, permits_changed bigint, again boolean, retry jsonb)
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  q troupe.queue;
  offered record;
  part record;
  candidate record;
  looks int;
  ids bigint[] := '{}';
  ats smallint[];
  names text[];
  firsts bigint[]; -- of the runs that are handed out whole; null: some are not
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
      select x.id, x.priority, x.served_at from troupe.lane_now x where x.queue = p_queue
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
        firsts := null;
      else
        select * into part from troupe.read_lane(p_queue, candidate.id, p_limit, looks);
        looks := looks - part.looked;
        ids := part.jobs; ats := part.attempts; names := part.keys;
        touched := touched || part.fresh;
        firsts := part.firsts;
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
  if firsts is not null then
    return query
      select lease_id, j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args,
             take_keyed.permits, take_keyed.permits_changed, true, j.retry
        from unnest(firsts, part.counts, part.tries) u(f, c, a)
        join troupe.job j on j.id between u.f and u.f + u.c - 1;
    return;
  end if;
  return query
    select lease_id, j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args,
           take_keyed.permits, take_keyed.permits_changed, true, j.retry
      from unnest(ids, ats) u(i, a) join troupe.job j on j.id = u.i;
end   $$;

-- As before, but a lane is looked up with its era.
create or replace function troupe.take_next(p_queue text, p_most int, out job bigint, out attempt smallint,
  out passed int)
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
declare
  own constant xid8 := pg_current_xact_id();
  urgency smallint;
  lanes troupe.lane[];
  was troupe.lane[];
  l troupe.lane;
  before pg_snapshot;
  alive boolean;
  next_part smallint;
  e record;
begin
  passed := 0;
  for urgency in select distinct x.priority from troupe.known_lane x where x.queue = p_queue order by 1 loop
    lanes := array(
      select x.row from troupe.known_lane k
       cross join lateral (select y as row from troupe.lane y where y.id = k.id order by y.era desc limit 1) x
       where k.queue = p_queue and k.priority = urgency order by k.id);
    was := lanes;
    loop
      before := pg_current_snapshot(); -- older than what the next statement sees
      -- Of each lane: what late writers have left there, and what is behind its cursor. One statement: what is
      -- read and what counts as still open come from one snapshot.
      select x.nth, r.how, r.xact, r.seq, r.job_id + r.skip as job_id, r.jobs - r.skip as jobs, r.skip,
             r.attempt, pg_current_snapshot() as snap
        into e
        from unnest(lanes) with ordinality x(xact, seq, late_xact, late_seq, served_at, taken, id, priority,
                                             shard, queue, open, draining, part, late_part, moves, era,
                                             nth)
        cross join lateral (
          (select 1 as how, 0 as skip, f.* from unnest(x.open) o(writer) cross join lateral (
             select y.* from troupe.ready y where y.lane = x.id and y.xact = o.writer
              order by y.xact, y.seq limit 1) f
            where o.writer <> own order by f.xact, f.seq limit 1)
          union all
          (select 2, case when f.xact = x.late_xact and f.seq = x.late_seq + 1 then x.late_part else 0 end, f.*
             from unnest(x.draining) o(writer) cross join lateral (
             select y.* from troupe.ready y
              where y.lane = x.id and y.xact = o.writer and (y.xact, y.seq) > (x.late_xact, x.late_seq)
              order by y.xact, y.seq limit 1) f
            order by f.xact, f.seq limit 1)
          union all
          (select 3, case when y.xact = x.xact and y.seq = x.seq + 1 then x.part else 0 end, y.*
             from troupe.ready y where y.lane = x.id and (y.xact, y.seq) > (x.xact, x.seq)
            order by y.xact, y.seq limit 1)) r
       order by r.xact, r.seq limit 1;
      exit when not found;
      -- Whoever deletes or replaces a job holds it, and its lanes: then nobody goes past it, and nobody waits.
      l := lanes[e.nth];
      perform from troupe.lane x where x.id = l.id and x.era >= l.era for update skip locked;
      exit when not found;
      perform from troupe.job j where j.id = e.job_id for key share skip locked;
      alive := found;
      exit when not alive and exists (select from troupe.job j where j.id = e.job_id);
      -- Of a run with others in it the cursor passes the first one only.
      next_part := case when e.jobs > 1 then e.skip + 1 else 0 end;
      if e.how = 1 or e.xact = own then -- a late writer's, or one that will look like it: it goes itself
        delete from troupe.ready y where y.lane = l.id and y.xact = e.xact and y.seq = e.seq and e.jobs = 1;
        update troupe.ready y set job_id = e.job_id + 1, jobs = e.jobs - 1
         where y.lane = l.id and y.xact = e.xact and y.seq = e.seq;
        next_part := 0;
      end if;
      if e.how = 2 then
        l.late_xact := e.xact; l.late_seq := e.seq - (e.jobs > 1)::int; l.late_part := next_part;
      elsif e.how = 3 then
        l.open := l.open || array(select x from pg_snapshot_xip(e.snap) x
                                   where x > l.xact and x < e.xact and x <> own);
        if own < e.xact and own <> all (l.open) then
          l.open := l.open || own;
        end if;
        l.xact := e.xact; l.seq := e.seq - (e.jobs > 1)::int; l.part := next_part;
      end if;
      l.taken := l.taken + 1;
      lanes[e.nth] := l;
      -- A statement of its own, to see what was done before the job was held.
      delete from troupe.revoked v where v.job_id = e.job_id and v.attempt = e.attempt;
      if alive and not found then
        job := e.job_id; attempt := e.attempt;
        exit;
      end if;
      passed := passed + 1;
      exit when passed >= p_most;
    end loop;
    for i in 1..cardinality(lanes) loop
      l := lanes[i];
      if l.open <> '{}' then -- writers that have ended and left nothing more
        l.open := array(select o from unnest(l.open) o
                         where o = own or not pg_visible_in_snapshot(o, before)
                            or exists (select from troupe.ready y where y.lane = l.id and y.xact = o));
      end if;
      if l.draining <> '{}'
         and not exists (select from unnest(l.draining) o(writer) cross join lateral (
                           select from troupe.ready y
                            where y.lane = l.id and y.xact = o.writer
                              and (y.xact, y.seq) > (l.late_xact, l.late_seq) limit 1) f) then
        l.draining := '{}';
      end if;
      if l is distinct from was[i] then
        update troupe.lane x
           set xact = l.xact, seq = l.seq, part = l.part, open = l.open, draining = l.draining,
               late_xact = l.late_xact, late_seq = l.late_seq, late_part = l.late_part, taken = l.taken,
               served_at = clock_timestamp(), moves = x.moves + 1, era = (x.moves + 1) / 32
         where (x.id, x.era) in (select y.id, y.era from troupe.lane y
                                  where y.id = l.id and y.era >= l.era for update skip locked);
      end if;
    end loop;
    exit when job is not null or e is not null; -- or somebody is at it, or there was too much to pass
  end loop;
end  $$;
-- -- checkpoints -----------------------------------------------------------------------------------

-- What was alive in a snapshot, and which snapshot that was: whatever is alive later was alive then, or its
-- writer was not seen by it: that one's id is at or above `xact`, or in `open`. So what has died before is
-- not looked at again. Exact however long a writer stays open; a row says nothing that ceases to be true.
create table troupe.checkpoint (
  nth bigint generated always as identity,
  what text not null check (what in ('leases', 'deferred')),
  xact xid8 not null,
  open xid8[] not null,
  leases bigint[],     -- that were alive and are of writers that are not listed
  due_at timestamptz,  -- nothing that waited was due earlier
  primary key (what, nth));

-- The writers that a snapshot does not see, below its xmax. It never lists its own.
create function troupe.unseen_by(p_snapshot pg_snapshot, p_own xid8) returns xid8[] language sql immutable as $$
  select array(select x from pg_snapshot_xip(p_snapshot) x where x <> p_own)
         || case when p_own < pg_snapshot_xmax(p_snapshot) then array[p_own] else '{}' end;
$$;

-- The newest one, or nothing: then everything is to be looked at. One that is ahead of the server is of another,
-- from which this database was copied.
create function troupe.newest_checkpoint(p_what text) returns troupe.checkpoint language plpgsql stable
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
set jit = off as $$
declare
  c troupe.checkpoint;
begin
  select * into c from troupe.checkpoint x where x.what = p_what order by x.nth desc limit 1;
  if c.xact > pg_snapshot_xmax(pg_current_snapshot()) then
    return null;
  end if;
  return c;
end $$;

-- Replaces one, as its maker's last word: nobody waits, and without its turn it does nothing.
create function troupe.replace_checkpoint(p_old bigint, p_new troupe.checkpoint) returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
set jit = off as $$
begin
  insert into troupe.checkpoint (what, xact, open, leases, due_at)
  values (p_new.what, p_new.xact, p_new.open, p_new.leases, p_new.due_at);
  delete from troupe.checkpoint x where x.what = p_new.what and x.nth = p_old;
end $$;

-- -- leases ----------------------------------------------------------------------------------------

-- Leases are born and die with every claim.
alter table troupe.lease add column xact xid8 not null default '1';
alter table troupe.lease alter column xact set default pg_current_xact_id();
create index lease_xact on troupe.lease (xact);

-- All that are alive, or those of a node.
create function troupe.live_leases(p_node bigint default null) returns setof troupe.lease language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  c constant troupe.checkpoint := troupe.newest_checkpoint('leases');
begin
  if c.nth is null then
    return query select l.* from troupe.lease l where p_node is null or l.node = p_node order by l.id;
    return;
  end if;
  return query
    select l.* from unnest(c.leases) u(i) join troupe.lease l on l.id = u.i
     where p_node is null or l.node = p_node
    union all
    select l.* from unnest(c.open) o(writer) join troupe.lease l on l.xact = o.writer
     where p_node is null or l.node = p_node
    union all
    select l.* from troupe.lease l
     where l.xact >= c.xact and (p_node is null or l.node = p_node);
end $$;

create function troupe.note_leases() returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
set jit = off as $$
declare
  most constant int := 10000;
  own xid8;
  snap pg_snapshot;
  ids bigint[];
  xacts xid8[];
  old bigint;
  new troupe.checkpoint;
begin
  if current_setting('transaction_isolation') <> 'read committed' or not pg_try_advisory_xact_lock(72331733, 3) then
    return;
  end if;
  own := pg_current_xact_id();
  -- Statements of their own, to see what the one before has left; of what is read and the snapshot one.
  old := (select x.nth from troupe.checkpoint x where x.what = 'leases' order by x.nth desc limit 1);
  select array_agg(l.id), array_agg(l.xact), pg_current_snapshot() into ids, xacts, snap
    from troupe.live_leases() l;
  new.what := 'leases';
  new.xact := pg_snapshot_xmax(snap);
  new.open := troupe.unseen_by(snap, own);
  new.leases := array(select u.i from unnest(ids, xacts) u(i, x) where u.x < new.xact and u.x <> all (new.open));
  if cardinality(new.leases) <= most then
    perform troupe.replace_checkpoint(old, new);
  end if;
end $$;

-- -- what waits for its time -----------------------------------------------------------------------

-- The earliest time of what one statement has put off.
create table troupe.put_off_at (
  xact xid8 not null default pg_current_xact_id(),
  due_at timestamptz not null);
create index put_off_at_xact on troupe.put_off_at (xact);

-- Nothing that waits is due earlier.
create function troupe.due_from() returns timestamptz language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  c constant troupe.checkpoint := troupe.newest_checkpoint('deferred');
begin
  if c.nth is null then
    return '-infinity';
  end if;
  return least(c.due_at,
               (select min(p.due_at) from troupe.put_off_at p where p.xact >= c.xact),
               (select min(p.due_at) from unnest(c.open) o(writer) join troupe.put_off_at p on p.xact = o.writer));
end $$;

-- The first of what waits, looked for from there; null: nothing does.
create function troupe.next_due() returns timestamptz language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  return (select d.due_at from troupe.deferred d where d.due_at >= (select troupe.due_from())
           order by d.due_at limit 1);
end $$;

create function troupe.note_deferred() returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
set jit = off as $$
declare
  own xid8;
  snap pg_snapshot;
  old troupe.checkpoint;
  new troupe.checkpoint;
begin
  if current_setting('transaction_isolation') <> 'read committed' or not pg_try_advisory_xact_lock(72331733, 4) then
    return;
  end if;
  own := pg_current_xact_id();
  select * into old from troupe.checkpoint x where x.what = 'deferred' order by x.nth desc limit 1;
  select coalesce(troupe.next_due(), 'infinity'), pg_current_snapshot() into new.due_at, snap;
  new.what := 'deferred';
  new.xact := pg_snapshot_xmax(snap);
  new.open := troupe.unseen_by(snap, own);
  perform troupe.replace_checkpoint(old.nth, new);
  -- What the new one has seen. Earlier ones have taken with them what lies before the old one.
  delete from troupe.put_off_at p
   where p.xact >= coalesce(old.xact, '0') and p.xact < new.xact and p.xact <> all (new.open);
  delete from troupe.put_off_at p using unnest(old.open) o(writer)
   where p.xact = o.writer and p.xact <> all (new.open);
end $$;

-- Called with every heartbeat and promotion. Does something when there is much to pass: so many transactions since.
create function troupe.note_checkpoints() returns void language plpgsql as $$
declare
  most constant bigint := 200;
  newest constant bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
begin
  if newest - coalesce((troupe.newest_checkpoint('leases')).xact, '0')::text::bigint > most then
    perform troupe.note_leases();
  end if;
  if newest - coalesce((troupe.newest_checkpoint('deferred')).xact, '0')::text::bigint > most then
    perform troupe.note_deferred();
  end if;
end $$;

-- As before, but says from when on something waits.
create or replace function troupe.tell_deferred()
returns trigger
language plpgsql set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  if tg_op <> 'DELETE' then
    insert into troupe.put_off_at (due_at) select min(due_at) from come having count(*) > 0;
  end if;
  if tg_op = 'INSERT' then
    insert into troupe.tally (queue, state, jobs)
    select l.queue, c.state, sum(c.jobs)
      from (select lane, case reason when 2 then 4 else 5 end as state, count(*) as jobs
              from come group by 1, 2) c
      join troupe.known_lane l on l.id = c.lane group by l.queue, c.state;
  elsif tg_op = 'DELETE' then
    insert into troupe.tally (queue, state, jobs)
    select l.queue, c.state, -sum(c.jobs)
      from (select lane, case reason when 2 then 4 else 5 end as state, count(*) as jobs
              from gone group by 1, 2) c
      join troupe.known_lane l on l.id = c.lane group by l.queue, c.state;
  else
    insert into troupe.tally (queue, state, jobs)
    select l.queue, c.state, sum(c.jobs)
      from (select lane, case reason when 2 then 4 else 5 end as state, count(*) as jobs
              from come group by 1, 2
            union all
            select lane, case reason when 2 then 4 else 5 end, -count(*) from gone group by 1, 2) c
      join troupe.known_lane l on l.id = c.lane group by l.queue, c.state having sum(c.jobs) <> 0;
  end if;
  return null;
end  $$;

-- As before, but begins where something may wait.
create or replace function troupe.promote(p_limit int, out moved bigint, out queues text[], out next_due_ms
  bigint)
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set jit = off as $$
declare
  ids bigint[];
  lanes int[];
  attempts smallint[];
  heads bigint[];
  since timestamptz;
begin
  since := troupe.due_from();
  with due as (
    select d.job_id from troupe.deferred d where d.due_at >= since and d.due_at <= now()
     order by d.due_at limit p_limit for update skip locked),
  gone as (
    delete from troupe.deferred d using due where d.job_id = due.job_id
    returning d.job_id, d.lane, d.attempt, d.due_at)
  select array_agg(g.job_id order by g.due_at, g.job_id), array_agg(g.lane order by g.due_at, g.job_id),
         array_agg(g.attempt order by g.due_at, g.job_id)
    into ids, lanes, attempts
    from gone g;
  moved := 0; queues := '{}';
  if ids is not null then
    queues := array(select distinct l.queue from troupe.known_lane l where l.id = any (lanes));
    heads := troupe.heads_among(queues, ids);
    with made as (
      -- A snooze and a cancel may cross: an attempt with an outcome does not run again.
      insert into troupe.ready (lane, job_id, attempt)
      select g.lane, g.i, g.a from unnest(ids, lanes, attempts) with ordinality g(i, lane, a, o)
       where g.i <> all (heads)
         and not exists (select from troupe.attempt t where t.job_id = g.i and t.attempt = g.a)
       order by g.o
      returning 1)
    select count(*) + cardinality(heads) into moved from made;
  end if;
  perform troupe.wake(queues);
  -- A statement of its own, to see what the one above has left.
  select ceil(extract(epoch from troupe.next_due() - clock_timestamp()) * 1000)::bigint into next_due_ms;
  if moved >= 100 then
    perform troupe.note_deferred();
  else
    perform troupe.note_checkpoints();
  end if;
end  $$;

-- As before, but the living are looked for by checkpoints.
create or replace function troupe.beat(p_node bigint, p_late_ms double precision)
returns table(alive boolean, dead bigint[], cancelled bigint[], leases bigint[], next_due_ms bigint, queues
  text[], paused text[], capped text[], caps int[])
language plpgsql set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
begin
  return query
  with old as (
    select id, heartbeat_at from troupe.node where id = p_node and ended_at is null),
  mine as (
    update troupe.node n set heartbeat_at = clock_timestamp() from old
     where n.id = old.id and n.ended_at is null
    returning old.heartbeat_at),
  held as materialized (select l.id, l.jobs, l.attempts from troupe.live_leases(p_node) l),
  sharing as (
    select p.queue, p.node, q.concurrency, count(*) over w as nodes, sum(p.permits) over w as total,
           row_number() over (partition by p.queue order by p.node) as place,
           bool_or(p.node <> p_node and p.wanted_at is not null) over w as wanted
      from (select x.queue, x.node, x.permits,
                   case when x.wanted_at > clock_timestamp() - interval '2.5 s' then x.wanted_at end
                     as wanted_at
              from troupe.permit x
             where x.queue in (select y.queue from troupe.permit y
                                where y.node = p_node and y.permits > 0)) p
      join troupe.queue q on q.name = p.queue and q.concurrency is not null
     where p.permits > 0 or p.wanted_at is not null
    window w as (partition by p.queue)),
  share as (
    select s.queue,
           (s.concurrency / s.nodes + case when s.place <= s.concurrency % s.nodes then 1 else 0 end)::int
             as most
      from sharing s where s.node = p_node and (s.wanted or s.total > s.concurrency))
  select exists (select from mine) as alive,
         case when (select heartbeat_at from mine) > now() - p_late_ms * interval '0.6 ms'
              then array(select id from troupe.node
                          where ended_at is null and id <> p_node
                            and heartbeat_at < now() - p_late_ms * interval '1 ms')
              else '{}' end as dead,
         array(select u.i from held l, unnest(l.jobs, l.attempts) u(i, a)
                where exists (select from troupe.revoked v
                               where v.job_id between (select min(j) from unnest(l.jobs) j)
                                                  and (select max(j) from unnest(l.jobs) j))
                  and exists (select from troupe.revoked v
                               where v.job_id = u.i and v.attempt = u.a offset 0)) as cancelled,
         array(select id from held order by id) as leases,
         (select ceil(extract(epoch from troupe.next_due() - clock_timestamp()) * 1000)::bigint) as next_due_ms,
         array(select distinct l.queue from troupe.lane_now l
                where (l.open <> '{}' or l.draining <> '{}'
                       or exists (select from troupe.ready r
                                   where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq)))
                  and not exists (select from troupe.queue q
                                   where q.name = l.queue
                                     and (q.paused_at is not null
                                          or q.rate_at is not null
                                             and troupe.rate_wait_ms(q.name) > 0
                                          or q.head_job is not null
                                             and (troupe.head_state(q.head_job, q.head_lease)).state
                                                 in ('busy', 'later')))) as queues,
         array(select q.name from troupe.queue q where q.paused_at is not null) as paused,
         array(select s.queue from share s order by s.queue) as capped,
         array(select s.most from share s order by s.queue) as caps;
  perform troupe.note_checkpoints();
end  $$;

create or replace function troupe.running(p_queues text[])
returns table(queue text, jobs bigint)
language plpgsql stable set plan_cache_mode = force_generic_plan set enable_hashjoin = off
set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  return query
  select x.queue, count(distinct x.i)
    -- The queue of each by itself: a join might begin with all jobs of these queues.
    from (select u.i, (select j.queue from troupe.job j where j.id = u.i) as queue
            from troupe.live_leases() l, unnest(l.jobs, l.attempts) u(i, a)
           where not exists (select from troupe.attempt t
                              where t.job_id = u.i and t.attempt = u.a offset 0)) x
   where x.queue = any (p_queues) group by x.queue;
end  $$;

-- As before, but asks of these leases only.
create or replace function troupe.write_outcomes(p_node bigint, p_done bigint[], p_held bigint[], p_plain
  boolean, p_leases bigint[], p_jobs bigint[], p_attempts smallint[], p_outcomes smallint[], p_started_ago_ms
  bigint[], p_finished_ago_ms bigint[], p_results jsonb[], p_errors text[], p_retry_ms bigint[], out fenced
  bigint[], out deferred bigint)
language plpgsql set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  select w.fenced, w.deferred into fenced, deferred
    from troupe.store_outcomes(p_node, p_done, p_held, p_plain, p_leases, p_jobs, p_attempts, p_outcomes,
                               p_started_ago_ms, p_finished_ago_ms, p_results, p_errors, p_retry_ms) w;
  if exists (select from troupe.key_run k where k.node = p_node and k.lease = any (p_done || p_leases)) then
    perform troupe.free_keys(p_node, p_done, p_leases, p_jobs);
  end if;
end  $$;

create or replace function troupe.upkeep(out partitions_made int, out revocations_dropped bigint)
language plpgsql set enable_hashjoin = on set enable_nestloop = off set enable_mergejoin = off
set enable_seqscan = off set jit = off as $$
begin
  begin
    partitions_made := troupe.make_partitions();
  exception when lock_not_available then
    partitions_made := 0; -- there is time: they are made two ahead, and the next round tries again
  end;
  revocations_dropped := 0;
  if not exists (select from troupe.revoked) then
    return;
  end if;
  with pair as materialized (
    select l.queue, l.priority, l.open <> '{}' or l.draining <> '{}' as open,
           (select r.xact from troupe.ready r where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq)
             order by r.xact, r.seq limit 1) as oldest -- entry that the cursor has yet to meet
      from troupe.lane_now l),
  -- A cancel that is told to a runner by its heartbeat needs its row until the lease is gone.
  leased as materialized (select u.i from troupe.lease e, unnest(e.jobs) u(i))
  delete from troupe.revoked v
   where not exists (select from pair p
                      where p.queue = v.queue and p.priority = v.priority
                        and (p.open or p.oldest <= v.xact))
     and not exists (select from leased x where x.i = v.job_id);
  get diagnostics revocations_dropped = row_count;
end  $$;

-- As before, but forgets checkpoints of another server, too.
create or replace function troupe.rebase_lanes()
returns boolean
language plpgsql set enable_hashjoin = on set enable_mergejoin = on set enable_seqscan = on set jit = off as $$
declare
  newest xid8;
begin
  delete from troupe.checkpoint c where c.xact > pg_snapshot_xmax(pg_current_snapshot());
  select x into newest from (
    select xact as x from troupe.lane
    union all
    select (select r.xact from troupe.ready r where r.lane = l.id order by r.xact desc limit 1)
      from troupe.lane l
    union all
    select xact from troupe.tally_base
    union all
    select xact from troupe.tally) u
   where x is distinct from pg_current_xact_id_if_assigned() -- whose caller may have enqueued something
     and x is not null order by x desc limit 1; -- max(xid8) came with PostgreSQL 15
  -- In a later snapshot than the one above, or what has committed in between would look ahead of it.
  if newest is null or newest < pg_snapshot_xmax(pg_current_snapshot()) then
    return false;
  end if;
  lock table troupe.lane in access exclusive mode;
  lock table troupe.ready in access exclusive mode;
  lock table troupe.tally in access exclusive mode;
  with old as (delete from troupe.ready returning *),
  entry as (
    select distinct on (g.job_id, o.attempt) o.lane, o.seq, g.job_id, o.attempt -- a snoozed run has several
      from old o cross join generate_series(o.job_id, o.job_id + o.jobs - 1) g(job_id)
     order by g.job_id, o.attempt, o.seq desc)
  insert into troupe.ready (lane, job_id, attempt, xact)
  select e.lane, e.job_id, e.attempt, '1'
    from entry e
   where exists (select from troupe.job j where j.id = e.job_id)
     and not exists (select from troupe.attempt t where t.job_id = e.job_id and t.attempt = e.attempt)
     and not exists (select from troupe.parked p where p.job_id = e.job_id and p.attempt = e.attempt)
     and not exists (select from troupe.deferred d where d.job_id = e.job_id and d.attempt = e.attempt)
     and (e.job_id, e.attempt) not in (select u.i, u.a from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a))
   order by e.seq, e.job_id;
  update troupe.revoked set xact = '1';
  update troupe.lane set xact = '0', seq = 0, part = 0, open = '{}', draining = '{}',
                         late_xact = '0', late_seq = 0, late_part = 0;
  update troupe.tally set xact = '1'; -- what was folded is gone, so all of these count
  update troupe.tally_base set xact = '0', open = '{}';
  return true;
end  $$;
