-- Exact counts of the jobs of each queue and state without counting jobs: whoever changes how many there
-- are appends what it changed, one row per statement and queue, and the janitor folds these rows into one
-- per queue. Claims append nothing: what runs is in the leases, and what is available is the rest.

-- state: 0 all jobs; 1 completed, 2 cancelled, 3 discarded, as the outcomes; 4 retryable, 5 scheduled.
-- Rows of 0 and 1 to 3 are appended by who stores jobs (troupe.enqueue_many, enqueue_here, queue_pages) or
-- writes outcomes that end them (store_outcomes, cancel, close_crawl, rescue), all others by triggers.
create table troupe.tally (
  xact  xid8 not null default pg_current_xact_id(),
  jobs  bigint not null, -- how many more, or fewer
  state smallint not null,
  queue text not null
);
create index tally_queue on troupe.tally (queue, xact);

-- One row per queue: the sum of what was folded. Like a lane's cursor: rows of the tally up to xact are in
-- it and gone, but for those of the writers that were open then. So nobody reads past what a held snapshot
-- keeps of the rows that are gone.
create table troupe.tally_base (
  xact      xid8 not null default '0',
  jobs      bigint not null default 0,
  completed bigint not null default 0,
  cancelled bigint not null default 0,
  discarded bigint not null default 0,
  retryable bigint not null default 0,
  scheduled bigint not null default 0,
  queue     text primary key,
  open      xid8[] not null default '{}'
) with (fillfactor = 50);

-- Of the partition that is being looked through: what is to be dropped with it.
create table troupe.expiring (
  jobs    bigint not null,
  outcome smallint not null,
  queue   text not null
);

-- -- reading ---------------------------------------------------------------------------------------

-- What has been told of a queue, in the caller's snapshot. Read only: a standby answers, too.
create function troupe.tallied(p_queue text, out jobs bigint, out completed bigint, out cancelled bigint,
                               out discarded bigint, out retryable bigint, out scheduled bigint)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
begin
  select coalesce(max(b.jobs), 0) + coalesce(sum(d.jobs) filter (where d.state = 0), 0),
         coalesce(max(b.completed), 0) + coalesce(sum(d.jobs) filter (where d.state = 1), 0),
         coalesce(max(b.cancelled), 0) + coalesce(sum(d.jobs) filter (where d.state = 2), 0),
         coalesce(max(b.discarded), 0) + coalesce(sum(d.jobs) filter (where d.state = 3), 0),
         coalesce(max(b.retryable), 0) + coalesce(sum(d.jobs) filter (where d.state = 4), 0),
         coalesce(max(b.scheduled), 0) + coalesce(sum(d.jobs) filter (where d.state = 5), 0)
    into jobs, completed, cancelled, discarded, retryable, scheduled
    from (select) one
    left join troupe.tally_base b on b.queue = p_queue
    left join lateral (
      select t.jobs, t.state from troupe.tally t
       where t.queue = p_queue and t.xact > coalesce(b.xact, '0')
      union all
      select t.jobs, t.state from unnest(b.open) o(writer) cross join lateral (
        select x.jobs, x.state from troupe.tally x where x.queue = p_queue and x.xact = o.writer offset 0) t
    ) d on true;
end $$;

-- What runs of each of these queues; without any in it the queue is not there.
create function troupe.running(p_queues text[]) returns table (queue text, jobs bigint)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set jit = off as $$
begin
  return query
  select x.queue, count(distinct x.i)
    -- The queue of each by itself: a join might begin with all jobs of these queues.
    from (select u.i, (select j.queue from troupe.job j where j.id = u.i) as queue
            from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
           where not exists (select from troupe.attempt t
                              where t.job_id = u.i and t.attempt = u.a offset 0)) x
   where x.queue = any (p_queues) group by x.queue;
end $$;

-- How many jobs of each queue are in each state, exact at one moment; in order of their names, after one or
-- only that of one name. Without p_limit: all.
create function troupe.list_counts(p_only text, p_after text, p_limit int)
returns table (queue text, scheduled bigint, available bigint, running bigint, retryable bigint,
               completed bigint, cancelled bigint, discarded bigint)
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
  select k.name, t.scheduled,
         t.jobs - t.scheduled - t.retryable - t.completed - t.cancelled - t.discarded - coalesce(b.jobs, 0),
         coalesce(b.jobs, 0), t.retryable, t.completed, t.cancelled, t.discarded
    from known k
   cross join lateral troupe.tallied(k.name) t
    left join busy b on b.queue = k.name
   order by k.name;
end $$;

-- Of all queues, or of one.
create function troupe.counts(of_queue text default null)
returns table (queue text, scheduled bigint, available bigint, running bigint, retryable bigint,
               completed bigint, cancelled bigint, discarded bigint)
language sql stable as $$
  select * from troupe.list_counts(of_queue, '', null);
$$;

-- Counts all jobs, and appends what the tally differs by. Needed where the engine's tables were changed by
-- hand, or by a program of an older version while the schema was being migrated. Waits for nobody: all is
-- compared in one snapshot. How many numbers were wrong.
create function troupe.recount() returns bigint language plpgsql
set plan_cache_mode = force_custom_plan set enable_hashjoin = on set enable_mergejoin = on
set enable_seqscan = on set jit = off as $$
declare
  wrong bigint;
begin
  with real as (
    select j.queue, 0 as state, count(*) as jobs from troupe.job j group by j.queue
    union all
    select j.queue, a.outcome, count(*) from troupe.attempt a join troupe.job j on j.id = a.job_id
     where a.outcome in (1, 2, 3) and not a.reopened
       and not exists (select from troupe.deferred d where d.job_id = a.job_id)
     group by j.queue, a.outcome
    union all
    select j.queue, case d.reason when 2 then 4 else 5 end, count(*)
      from troupe.deferred d join troupe.job j on j.id = d.job_id group by 1, 2),
  told as (
    select t.queue, t.state, t.jobs from troupe.tally t
    union all
    select b.queue, s.state, s.jobs from troupe.tally_base b cross join lateral (values
      (0, b.jobs), (1, b.completed), (2, b.cancelled), (3, b.discarded), (4, b.retryable),
      (5, b.scheduled)) s(state, jobs)),
  made as (
    insert into troupe.tally (queue, state, jobs)
    select x.queue, x.state, sum(x.jobs)
      from (select r.queue, r.state, r.jobs from real r
            union all
            select t.queue, t.state, -t.jobs from told t) x
     group by x.queue, x.state having sum(x.jobs) <> 0
    returning state)
  select count(*) into wrong from made;
  return wrong;
end $$;

-- -- folding ---------------------------------------------------------------------------------------

-- Folds what was told of a queue, so many rows of those that writers left in turn and all of late ones; how
-- many they were. Writers and readers do not wait for it, nor it for another one that folds.
create function troupe.fold_tally(p_queue text, p_limit int) returns bigint language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  b troupe.tally_base;
  snap pg_snapshot;
  own xid8;
  top xid8;
  still_open xid8[];
  n bigint;
  sums bigint[];
begin
  select * into b from troupe.tally_base x where x.queue = p_queue for update skip locked;
  if not found then
    -- Somebody folds it, or nobody did before. To insert beside an update would wait for it, and two that
    -- fold many queues must not wait for each other.
    if exists (select from troupe.tally_base x where x.queue = p_queue)
       or not pg_try_advisory_xact_lock(hashtextextended('tally of ' || p_queue, 7)) then
      return 0;
    end if;
    insert into troupe.tally_base (queue) values (p_queue) on conflict do nothing;
    select * into b from troupe.tally_base x where x.queue = p_queue for update skip locked;
    if not found then
      return 0;
    end if;
  end if;
  own := pg_current_xact_id();
  -- One statement: what is read and what counts as still open come from one snapshot. What the own
  -- transaction has told is left: it may tell more.
  with late as materialized (
    select t.xact, t.state, t.jobs from unnest(b.open) o(writer) cross join lateral (
      select * from troupe.tally x where x.queue = p_queue and x.xact = o.writer offset 0) t
     where o.writer <> own),
  fresh as materialized (
    select t.xact, t.state, t.jobs from troupe.tally t
     where t.queue = p_queue and t.xact > b.xact and t.xact <> own
     order by t.xact fetch first (p_limit) rows with ties),
  seen as (select * from late union all select * from fresh)
  select count(*), (select f.xact from fresh f order by f.xact desc limit 1), pg_current_snapshot(),
         array(select coalesce(sum(s.jobs), 0) from generate_series(0, 5) g(state)
                 left join seen s on s.state = g.state group by g.state order by g.state)
    into n, top, snap, sums
    from seen;
  top := coalesce(top, b.xact);
  still_open := array(select o from unnest(b.open) o where o = own or not pg_visible_in_snapshot(o, snap))
       || array(select x from pg_snapshot_xip(snap) x where x > b.xact and x < top and x <> own);
  if own > b.xact and own < top then
    still_open := still_open || own;
  end if;
  if n = 0 and still_open = b.open then
    return 0;
  end if;
  delete from troupe.tally t
   where t.queue = p_queue and t.xact > b.xact and t.xact <= top and t.xact <> all (still_open);
  delete from troupe.tally t using unnest(b.open) o
   where o <> all (still_open) and t.queue = p_queue and t.xact = o;
  update troupe.tally_base x
     set xact = top, open = still_open, jobs = x.jobs + sums[1], completed = x.completed + sums[2],
         cancelled = x.cancelled + sums[3], discarded = x.discarded + sums[4],
         retryable = x.retryable + sums[5], scheduled = x.scheduled + sums[6]
   where x.queue = p_queue;
  return n;
end $$;

-- The same for all queues, in any order; at most about p_most rows.
create function troupe.fold_tallies(p_most int default 200000) returns bigint language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
set jit = off as $$
declare
  folded bigint := 0;
  one text;
begin
  for one in
    select k.name from (select distinct l.queue as name from troupe.lane l
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
end $$;

-- -- telling ---------------------------------------------------------------------------------------

-- What waits for its time. Nothing of the usual way of a job comes by here.
create function troupe.tell_deferred() returns trigger language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  if tg_op = 'INSERT' then
    insert into troupe.tally (queue, state, jobs)
    select l.queue, c.state, sum(c.jobs)
      from (select lane, case reason when 2 then 4 else 5 end as state, count(*) as jobs
              from come group by 1, 2) c
      join troupe.lane l on l.id = c.lane group by l.queue, c.state;
  elsif tg_op = 'DELETE' then
    insert into troupe.tally (queue, state, jobs)
    select l.queue, c.state, -sum(c.jobs)
      from (select lane, case reason when 2 then 4 else 5 end as state, count(*) as jobs
              from gone group by 1, 2) c
      join troupe.lane l on l.id = c.lane group by l.queue, c.state;
  else
    insert into troupe.tally (queue, state, jobs)
    select l.queue, c.state, sum(c.jobs)
      from (select lane, case reason when 2 then 4 else 5 end as state, count(*) as jobs
              from come group by 1, 2
            union all
            select lane, case reason when 2 then 4 else 5 end, -count(*) from gone group by 1, 2) c
      join troupe.lane l on l.id = c.lane group by l.queue, c.state having sum(c.jobs) <> 0;
  end if;
  return null;
end $$;
create trigger tell_come after insert on troupe.deferred referencing new table as come
  for each statement execute function troupe.tell_deferred();
create trigger tell_gone after delete on troupe.deferred referencing old table as gone
  for each statement execute function troupe.tell_deferred();
create trigger tell_changed after update on troupe.deferred referencing old table as gone new table as come
  for each statement execute function troupe.tell_deferred();

-- Whoever deletes jobs deletes them before their attempts.
create function troupe.tell_deleted() returns trigger language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  insert into troupe.tally (queue, state, jobs)
  select g.queue, 0, -count(*) from gone g group by g.queue
  union all
  select g.queue, a.outcome, -count(*)
    from gone g cross join lateral (select t.outcome, t.reopened from troupe.attempt t
                                     where t.job_id = g.id order by t.attempt desc limit 1) a
   where a.outcome in (1, 2, 3) and not a.reopened group by g.queue, a.outcome;
  return null;
end $$;
create trigger tell_deleted after delete on troupe.job referencing old table as gone
  for each statement execute function troupe.tell_deleted();

create function troupe.tell_reopened() returns trigger language plpgsql
set enable_hashjoin = on set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  insert into troupe.tally (queue, state, jobs)
  select x.queue, x.outcome, -count(*)
    from (select w.outcome, (select j.queue from troupe.job j where j.id = w.job_id) as queue
            from was w join is_now n on n.job_id = w.job_id and n.attempt = w.attempt
           where n.reopened and not w.reopened and w.outcome in (1, 2, 3)) x
   where x.queue is not null group by x.queue, x.outcome;
  return null;
end $$;
create trigger tell_reopened after update on troupe.attempt referencing old table as was new table as is_now
  for each statement execute function troupe.tell_reopened();

-- Only what waits is moved to another queue. What of it is in the table of those that wait for their time
-- moves by its lane there.
create function troupe.tell_moved() returns trigger language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  insert into troupe.tally (queue, state, jobs)
  select x.queue, 0, sum(x.jobs)
    from (select n.queue, count(*) as jobs from is_now n group by n.queue
          union all
          select w.queue, -count(*) from was w group by w.queue) x
   group by x.queue having sum(x.jobs) <> 0;
  return null;
end $$;
create trigger tell_moved after update on troupe.job referencing old table as was new table as is_now
  for each statement execute function troupe.tell_moved();

-- -- what makes and ends jobs ---------------------------------------------------------------------

-- As before, but they are counted.
create or replace function troupe.enqueue_many(
  p_kinds text[], p_queues text[], p_args jsonb[], p_priorities smallint[],
  p_max_attempts smallint[] default null, p_timeouts_ms bigint[] default null,
  p_tags text[] default null, p_run_at timestamptz[] default null, p_delays_ms bigint[] default null,
  p_limit_keys text[] default null, p_retries jsonb[] default null)
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

-- As before, but they are counted.
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
  if found and pg_try_advisory_xact_lock_shared(troupe.queue_lock(p_queues[1])) then
    -- After the lock, by a statement of its own: a pause or a limit is either seen or waits for us.
    -- Lanes there are from a queue's first job on.
    free := p_queues[1] = all (p_queues)
      and not exists (select from troupe.queue q
                       where q.name = p_queues[1]
                         and (q.paused_at is not null or q.concurrency is not null or q.rate is not null
                              or q.key_concurrency is not null or q.key_rate is not null or q.ordered))
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

-- As before, but they are counted.
create or replace function troupe.queue_pages(p_crawl bigint, p_urls text[], p_depths int[])
returns bigint language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set jit = off as $$
declare
  made bigint;
begin
  with fresh as materialized (
    select u.url, min(u.depth) as depth, min(u.o) as o
      from unnest(p_urls, p_depths) with ordinality u(url, depth, o), troupe.crawl c
     where c.job_id = p_crawl and not c.closed and u.depth <= c.max_depth
       and not exists (select from troupe.page p where p.crawl = p_crawl and p.url = u.url)
     group by u.url order by min(u.o)
     limit (select greatest(0, max_pages - pages) from troupe.crawl where job_id = p_crawl)),
  given as materialized (
    select url, depth, nextval('troupe.job_id_seq') as id from fresh),
  pages as (
    insert into troupe.page (crawl, url, depth, job_id) select p_crawl, url, depth, id from given),
  jobs as (
    insert into troupe.job (id, parent, queue, kind, args, max_attempts)
    select id, p_crawl, 'scrape.pages', 'scrape.page',
           jsonb_build_object('crawl', p_crawl::text, 'url', url, 'depth', depth), 3
      from given),
  entries as (
    insert into troupe.ready (lane, job_id)
    select troupe.lane_for('scrape.pages', 0::smallint, id / 16), id from given)
  select count(*) into made from given;
  if made > 0 then
    insert into troupe.tally (queue, state, jobs) values ('scrape.pages', 0, made);
    perform troupe.wake(array['scrape.pages']);
    update troupe.crawl set pages = pages + made where job_id = p_crawl;
  end if;
  return made;
end $$;

-- As before, but those that end their jobs are counted.
create or replace function troupe.store_outcomes(
  p_node bigint, p_done bigint[], p_held bigint[], p_plain boolean, p_leases bigint[], p_jobs bigint[],
  p_attempts smallint[], p_outcomes smallint[], p_started_ago_ms bigint[], p_finished_ago_ms bigint[],
  p_results jsonb[], p_errors text[], p_retry_ms bigint[], out fenced bigint[], out deferred bigint)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set jit = off as $$
declare
  alive bigint[];
  written bigint[];
  snoozed bigint[];
  held_jobs bigint[];
  held_attempts smallint[];
  homes text[];   -- the queues of the leases, and
  amounts bigint[]; -- how many outcomes are of each
begin
  fenced := '{}'; deferred := 0;
  if p_outcomes @> array[6::smallint] then
    -- A snooze writes no attempt that a cancel could meet, so these two meet at the job.
    perform from troupe.job j
      where j.id = any (array(select i from unnest(p_jobs, p_outcomes) u(i, o) where o = 6))
      order by j.id for key share;
    -- Whom the leases still hold: a snooze sent twice must not put off a run that was snoozed
    -- already, and may be running again.
    select array_agg(u.i), array_agg(u.a) into held_jobs, held_attempts
      from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
     where l.id = any (p_done || p_held) and l.node = p_node;
  end if;
  with gone as (delete from troupe.lease l where l.id = any (p_done) and l.node = p_node returning l.id)
  select coalesce(array_agg(id), '{}') into alive from gone;
  if p_held <> '{}' then
    alive := alive || array(select l.id from troupe.lease l
                             where l.id = any (p_held) and l.node = p_node order by l.id for key share);
  end if;
  if p_plain and cardinality(alive) = cardinality(p_done) + cardinality(p_held) then
    -- A lease has jobs of one queue, so one of them tells it. Null: that one was deleted.
    homes := array(select distinct (select j.queue from troupe.job j
                                     where j.id = p_jobs[array_position(p_leases, l)])
                     from unnest(alive) l where l = any (p_leases));
    if cardinality(homes) = 1 then
      amounts := array[cardinality(p_jobs)];
    elsif array_position(homes, null) is null then
      select coalesce(array_agg(x.queue), '{}'), array_agg(x.jobs) into homes, amounts
        from (select j.queue, sum(u.jobs) as jobs
                from (select g.l, min(g.i) as i, count(*) as jobs from unnest(p_leases, p_jobs) g(l, i)
                       group by g.l) u
                join troupe.job j on j.id = u.i group by j.queue) x;
    end if;
  end if;
  if homes is not null and array_position(homes, null) is null then
    begin
      -- The plain insert costs half of ON CONFLICT; the other way is for the rare batch in which
      -- somebody was first.
      with ended as (
        insert into troupe.attempt (job_id, attempt, outcome, node, started_at, finished_at, result)
        select i, a, 1, p_node, now() - s * interval '1 ms', now() - f * interval '1 ms', r
          from unnest(p_jobs, p_attempts, p_started_ago_ms, p_finished_ago_ms, p_results) u(i, a, s, f, r))
      insert into troupe.tally (queue, state, jobs)
      select q, 1, c from unnest(homes, amounts) u(q, c);
      return;
    exception when unique_violation then
      null;
    end;
  end if;

  with given as materialized (
    select i, a,
           case when o = 4 and j.max_attempts <= 1 + (select count(*) from troupe.attempt t
                                                       where t.job_id = i and t.outcome = 4)
                then 3 else o end as o,
           now() - s * interval '1 ms' as started, now() - f * interval '1 ms' as finished, r, e, w,
           troupe.lane_for(j.queue, j.priority, i) as lane, j.queue as home
      from unnest(p_leases, p_jobs, p_attempts, p_outcomes, p_started_ago_ms, p_finished_ago_ms,
                  p_results, p_errors, p_retry_ms) u(l, i, a, o, s, f, r, e, w)
      join troupe.job j on j.id = u.i
     where l = any (alive)),
  ended as (
    insert into troupe.attempt (job_id, attempt, outcome, node, started_at, finished_at, result, error)
    select i, a, o, p_node, started, finished, r, e from given where o <> 6
    on conflict do nothing
    returning job_id),
  kept as materialized (
    select i, a, o, w, lane, home from given
     where case when o = 6 then (i, a) in (select * from unnest(held_jobs, held_attempts))
                                and not exists (select from troupe.attempt t
                                                 where t.job_id = i and t.attempt = a)
                else i in (select job_id from ended) end),
  waits as (
    insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
    select i, clock_timestamp() + w * interval '1 ms', lane,
           case when o = 4 then a + 1 else a end, case when o = 4 then 2 else 3 end
      from kept where o in (4, 6)
    on conflict do nothing
    returning job_id),
  counted as (
    insert into troupe.tally (queue, state, jobs)
    select home, o, count(*) from kept where o in (1, 2, 3) group by home, o)
  select coalesce(array_agg(i), '{}'), coalesce(array_agg(i) filter (where o = 6), '{}'),
         (select count(*) from waits)
    into written, snoozed, deferred
    from kept;
  if snoozed <> '{}' then -- a snoozed run has left its lease; a rescue must not find it there
    update troupe.lease l
       set (jobs, attempts) = (
             select coalesce(array_agg(u.i), '{}'), coalesce(array_agg(u.a), '{}')
               from unnest(l.jobs, l.attempts) u(i, a) where u.i <> all (snoozed))
     where l.id = any (p_held) and l.node = p_node and l.jobs && snoozed;
  end if;
  -- What is there already just as it is told is an answer that was lost on its way: ours. A rescue
  -- writes for this node, too, but other things.
  select coalesce(array_agg(u.i), '{}') into fenced
    from unnest(p_jobs, p_attempts, p_outcomes, p_errors) u(i, a, o, e)
   where u.i <> all (written)
     and not exists (select from troupe.attempt t
                      where t.job_id = u.i and t.attempt = u.a and t.node = p_node
                        and (t.outcome = u.o or (t.outcome = 3 and u.o = 4))
                        and t.error is not distinct from u.e)
     and not exists (select from troupe.deferred d
                      where u.o = 6 and d.job_id = u.i and d.attempt = u.a);
end $$;

-- As before, but a job that is not in the lease is not ended by it.
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
  if not found or not exists (select from unnest(held.jobs, held.attempts) u(i, a)
                               where u.i = finish.job and u.a = finish.attempt) then
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

-- As before, but those that are quarantined are counted.
create or replace function troupe.rescue(p_node bigint, p_limit interval, out lost bigint,
                                         out quarantined bigint, out queues text[])
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  tells boolean;
  ids bigint[];
  nths smallint[];
  heads bigint[];
begin
  lost := 0; quarantined := 0; queues := '{}';
  select n.tells_starts into tells from troupe.node n
    where n.id = p_node and n.ended_at is null and n.heartbeat_at < now() - p_limit
    for update skip locked;
  if not found then
    return;
  end if;
  with gone as (
    delete from troupe.lease where node = p_node returning taken_at, jobs, attempts, started),
  held as materialized (
    select g.taken_at, u.i, u.a, troupe.losses(u.i, u.a) as losses, u.i = any (g.started) as started
      from gone g, unnest(g.jobs, g.attempts) u(i, a)
     where exists (select from troupe.job j where j.id = u.i)),
  ended as (
    insert into troupe.attempt (job_id, attempt, outcome, node, started_at, error)
    select h.i, h.a, case when h.losses = 2 then 3 else 5 end, p_node, h.taken_at,
           case when h.losses = 2
                then 'quarantined: its node died three times in a row while it ran'
                else 'its node died while it ran' end
      from held h where h.losses = 0 or h.started or not tells
    on conflict do nothing
    returning job_id, attempt, outcome),
  counted as (
    insert into troupe.tally (queue, state, jobs)
    select j.queue, 3, count(*) from ended e join troupe.job j on j.id = e.job_id
     where e.outcome = 3 group by j.queue),
  again as (
    select e.job_id, e.attempt + 1 as attempt from ended e where e.outcome = 5
    union all
    select h.i, h.a from held h
     where h.losses > 0 and not h.started and tells
       and not exists (select from troupe.attempt t where t.job_id = h.i and t.attempt = h.a))
  select (select count(*) from ended), (select count(*) from ended where outcome = 3),
         (select array_agg(n.job_id) from again n), (select array_agg(n.attempt) from again n)
    into lost, quarantined, ids, nths;
  if ids is not null then
    queues := array(select distinct j.queue from troupe.job j where j.id = any (ids));
    heads := troupe.heads_among(queues, ids);
    insert into troupe.ready (lane, job_id, attempt)
    select troupe.lane_for(j.queue, j.priority, j.id), j.id, u.a
      from unnest(ids, nths) u(i, a) join troupe.job j on j.id = u.i
     where u.i <> all (heads);
  end if;
  perform troupe.wake(queues);
  update troupe.node set ended_at = now() where id = p_node;
end $$;

-- As before, but it is counted.
create or replace function troupe.cancel(p_job bigint) returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  current smallint;
begin
  perform from troupe.job where id = p_job for update;
  for tries in 1..100 loop -- an attempt that ends at this moment makes its successor the current one
    current := troupe.current_attempt(p_job);
    insert into troupe.attempt (job_id, attempt, outcome, node, started_at)
    select p_job, current, 2, r.node, r.taken_at
      from (select) one
      left join lateral (
        select l.node, l.taken_at from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
         where l.jobs @> array[p_job] and u.i = p_job and u.a = current
         limit 1) r on true
    on conflict do nothing;
    if found then
      insert into troupe.tally (queue, state, jobs) select j.queue, 2, 1 from troupe.job j where j.id = p_job;
      delete from troupe.deferred where job_id = p_job;
      if not found then
        insert into troupe.revoked (job_id, attempt, queue, priority)
        select p_job, current, j.queue, j.priority from troupe.job j where j.id = p_job
        on conflict do nothing;
      end if;
      if exists (select from troupe.crawl c where c.job_id = p_job and not c.closed) then
        perform troupe.close_crawl(p_job); -- its pages go with it, whoever cancels it
      end if;
      return;
    end if;
  end loop;
  raise exception 'job % changes too fast to be cancelled', p_job using errcode = '40001';
end $$;

-- As before, but its pages are counted; and none of them can be snoozed and cancelled at once.
create or replace function troupe.close_crawl(p_crawl bigint) returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  update troupe.crawl set closed = true where job_id = p_crawl;
  -- A snooze writes no attempt that the statement below could meet, so these two meet at the job.
  perform from troupe.job j
    where j.id in (select p.job_id from troupe.page p
                    where p.crawl = p_crawl
                      and not exists (select from troupe.item i where i.crawl = p.crawl and i.page = p.job_id))
    order by j.id for update;
  -- As troupe.cancel, for all pages at once. A page whose attempt ends at this moment may run once
  -- more; a closed crawl takes no links from it.
  with waiting as (
    select p.job_id,
           coalesce((select max(a.attempt) from troupe.attempt a where a.job_id = p.job_id), 0) + 1 as n
      from troupe.page p
     where p.crawl = p_crawl
       and not exists (select from troupe.item i where i.crawl = p.crawl and i.page = p.job_id)
       and not exists (select from troupe.attempt a
                        where a.job_id = p.job_id and a.outcome in (1, 2, 3) and not a.reopened)),
  ended as (
    insert into troupe.attempt (job_id, attempt, outcome) select job_id, n, 2 from waiting
    on conflict do nothing
    returning job_id, attempt),
  counted as (
    insert into troupe.tally (queue, state, jobs)
    select j.queue, 2, count(*) from ended e join troupe.job j on j.id = e.job_id group by j.queue),
  gone as (
    delete from troupe.deferred d using ended e where d.job_id = e.job_id returning d.job_id)
  insert into troupe.revoked (job_id, attempt, queue, priority)
  select e.job_id, e.attempt, j.queue, j.priority from ended e join troupe.job j on j.id = e.job_id
   where e.job_id not in (select job_id from gone)
  on conflict do nothing;
  perform troupe.reconcile_crawl(p_crawl);
end $$;

-- As before, but it is counted, and an outcome that comes too late leaves nothing.
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
end $$;

-- As before, but they are counted.
create or replace function troupe.cancel_jobs(p_jobs bigint[], p_states text[], out changed bigint[], out running bigint[])
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
      returning job_id),
    counted as (
      insert into troupe.tally (queue, state, jobs)
      select n.queue, 2, count(*) from ended e join now n on n.id = e.job_id group by n.queue)
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

-- As before, but they are counted, and an outcome that comes too late leaves nothing: as troupe.delete_job.
create or replace function troupe.delete_jobs(p_jobs bigint[], p_low bigint, p_high bigint, p_available bigint[],
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
  delete from troupe.job j where j.id = any (p_jobs) and j.id between p_low and p_high;
  with held as materialized (select l.job_id, l.attempt from troupe.leased_of(p_jobs) l),
  gone as (
    delete from troupe.attempt a
     where a.job_id = any (p_jobs) and a.job_id between p_low and p_high
       and not exists (select from held h where h.job_id = a.job_id and h.attempt = a.attempt)
    returning a.job_id, a.attempt),
  left_there as (
    update troupe.attempt a set reopened = true from held h
     where a.job_id = h.job_id and a.attempt = h.attempt and a.job_id between p_low and p_high
    returning a.job_id, a.attempt)
  select exists (select from (select * from gone union all select * from left_there) g
                   join unnest(p_available, p_entries) x(i, a) on x.i = g.job_id
                  where g.attempt >= x.a) into ran;
  if ran then
    raise exception using errcode = 'TR499';
  end if;
  return p_jobs;
end $$;

-- As before, but what is to be dropped is counted.
create or replace function troupe.look_through(p_from bigint, p_to bigint) returns bigint language plpgsql
set plan_cache_mode = force_custom_plan set enable_hashjoin = on set enable_mergejoin = on
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  held constant bigint[] := array(select distinct u.i from troupe.lease l, unnest(l.jobs) u(i)
                                   where u.i >= p_from and u.i < p_to);
  met bigint;
begin
  with age as materialized (select * from troupe.retention),
  usual as materialized (select * from age where queue = ''),
  last as materialized (
    select j.id, j.queue, j.parent, a.outcome,
           a.finished_at + case when r.queue is not null
             then case a.outcome when 1 then r.completed when 2 then r.cancelled else r.discarded end
             else case a.outcome when 1 then s.completed when 2 then s.cancelled else s.discarded end end
             as ends_at
      from troupe.job j
      left join troupe.attempt a
             on a.job_id = j.id and a.outcome in (1, 2, 3) and not a.reopened
                and a.job_id >= p_from and a.job_id < p_to
      left join age r on r.queue = j.queue
     cross join usual s
     where j.id >= p_from and j.id < p_to),
  kept as (
    insert into troupe.straggler (job_id, alive)
    select e.id, e.outcome is null or e.id = any (held) from last e
     where e.outcome is null or e.id = any (held) or (e.ends_at > now()) is not false
           -- Its key is still in the way of others.
           or exists (select from troupe.unique_job u join troupe.unique_key k on k.digest = u.digest
                       where u.job_id = e.id and k.job_id = e.id
                         and (u.ends_at is null or u.ends_at > now() - interval '1 hour')
                         and (array['completed', 'cancelled', 'discarded'])[e.outcome] = any (u.states)
                      offset 0)
           -- An open crawl would count a page without a job as failed.
           or e.parent is not null
              and exists (select from troupe.crawl c join troupe.job p on p.id = c.job_id
                           where c.job_id = e.parent and not c.closed offset 0)
    returning job_id),
  leaving as (
    insert into troupe.expiring (queue, outcome, jobs)
    select e.queue, e.outcome, count(*) from last e where e.id not in (select k.job_id from kept k)
     group by e.queue, e.outcome)
  select count(*) into met from last;
  return met;
end $$;

-- As before, but what is dropped is counted.
create or replace function troupe.swap_jobs(p_low bigint, p_high bigint, p_moved boolean) returns text
language plpgsql
set lock_timeout = '50ms' as $$
declare
  name text;
  part text;
begin
  if p_moved then
    foreach name in array array['job', 'attempt', 'progress', 'job_log'] loop
      execute format('create table troupe.%1$I (like troupe.%2$I including defaults including constraints
                        including indexes, constraint its_range check (%3$I >= %4$s and %3$I < %5$s))',
                     name || '_' || p_low || '_next', name,
                     case name when 'job' then 'id' else 'job_id' end, p_low, p_high);
    end loop;
    perform troupe.copy_jobs(p_low, p_high, array(select s.job_id from troupe.straggler s where not s.alive));
    execute format('create trigger note_late after insert or delete on troupe.%I
                      for each row execute function troupe.note_touched(''id'')', 'job_' || p_low || '_next');
  end if;
  perform pg_advisory_xact_lock(72331733, 1); -- of those who make partitions
  lock table only troupe.job, only troupe.attempt, only troupe.progress, only troupe.job_log
    in access exclusive mode;
  -- Whoever was changing something has ended by now; what it left is seen.
  if exists (select from troupe.touched t where t.job_id >= p_low and t.job_id < p_high) then
    raise exception using errcode = 'TR409';
  end if;
  perform troupe.copy_jobs(p_low, p_high, array(select s.job_id from troupe.straggler s where s.alive));
  foreach name in array array['job', 'attempt', 'progress', 'job_log'] loop
    part := name || '_' || p_low;
    execute format('drop table troupe.%I', part);
    if p_moved then
      execute format('alter table troupe.%I attach partition troupe.%I for values from (%s) to (%s)',
                     name, part || '_next', p_low, p_high);
      execute format('alter table troupe.%I drop constraint its_range', part || '_next');
      execute format('alter table troupe.%I rename to %I', part || '_next', part);
    end if;
  end loop;
  if not p_moved then
    delete from troupe.partition p where p.what = 'jobs' and p.low = p_low;
  end if;
  insert into troupe.tally (queue, state, jobs)
  select e.queue, s.state, -sum(e.jobs) from troupe.expiring e cross join lateral unnest(array[0, e.outcome]) s(state)
   group by e.queue, s.state;
  return case when p_moved then 'moved' else 'dropped' end;
exception
  when lock_not_available then return 'busy';
  when sqlstate 'TR409' then return 'again';
end $$;

-- As before, but what is to be dropped is counted.
create or replace function troupe.expire_jobs(p_span interval default '1 day', p_chunk int default 20000,
                                              out step text, out low bigint, out dropped bigint,
                                              out kept bigint)
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
  most_kept constant int := 20000;  -- and a tenth of the partition
  most_alive constant int := 2000;  -- copied while everybody waits
  newest constant bigint := (select case when is_called then last_value else 0 end from troupe.job_id_seq);
  shortest constant interval := (select min(least(r.completed, r.cancelled, r.discarded))
                                   from troupe.retention r);
  part troupe.partition;
  found_at bigint;
  alive bigint;
begin
  dropped := 0; kept := 0;
  if shortest is null
     -- One snapshot for all statements would not show what was committed before the locks came.
     or current_setting('transaction_isolation') <> 'read committed'
     or not pg_try_advisory_xact_lock(72331733, 2) then
    return;
  end if;
  if troupe.cut_jobs(p_span) then
    step := 'cut';
    return;
  end if;
  -- Locked: ages that are set meanwhile wait, and then have it looked through anew.
  select * into part from troupe.partition p where p.what = 'jobs' and p.looked_to is not null for update;
  if not found then
    for part in
      select * from troupe.partition p
       where p.what = 'jobs' and p.high <= newest and p.look_at <= now() order by p.look_at, p.low
    loop
      continue when (select j.created_at from troupe.job j where j.id >= part.low and j.id < part.high
                      order by j.id desc limit 1) > now() - shortest;
      low := part.low;
      exit;
    end loop;
    if low is null then
      return;
    end if;
    select * into part from troupe.partition p where p.what = 'jobs' and p.low = part.low for update;
    if not part.sealed then
      step := case when troupe.seal_jobs(part.low) then 'sealed' else 'busy' end;
      return;
    end if;
    delete from troupe.touched t where t.job_id >= part.low and t.job_id < part.high;
    delete from troupe.straggler s;
    delete from troupe.expiring x;
    part.looked_to := part.low; part.looked_jobs := 0;
  end if;

  low := part.low;
  step := 'looked';
  found_at := (select j.id from troupe.job j where j.id >= part.looked_to and j.id < part.high
                order by j.id limit 1);
  if found_at is not null then
    part.looked_to := least(part.high, found_at + p_chunk);
    part.looked_jobs := part.looked_jobs + troupe.look_through(found_at, part.looked_to);
  else
    part.looked_to := null;
  end if;
  select count(*), count(*) filter (where s.alive) into kept, alive from troupe.straggler s;
  if kept > most_kept or alive > most_alive
     or part.looked_to is null and kept > 0 and kept > part.looked_jobs / 10 then
    step := 'waits';
    part.looked_to := null;
    part.look_at := now() + least(greatest(shortest / 20, interval '1 minute'), interval '1 hour');
  elsif part.looked_to is null then
    step := troupe.swap_jobs(part.low, part.high, kept > 0);
    if step = 'moved' then -- only when all but a tenth of these have gone, too, it is worth it again
      part.look_at := now() + interval '1 hour';
    elsif step = 'busy' then
      part.look_at := now() + interval '1 minute';
    end if;
    dropped := case when step in ('moved', 'dropped') then part.looked_jobs - kept else 0 end;
  end if;
  update troupe.partition p
     set look_at = part.look_at, looked_to = part.looked_to, looked_jobs = part.looked_jobs
   where p.what = 'jobs' and p.low = part.low;
end $$;

-- As before, but for what is counted, too.
create or replace function troupe.rebase_lanes() returns boolean language plpgsql
set enable_hashjoin = on set enable_mergejoin = on set enable_seqscan = on set jit = off as $$
declare
  newest xid8;
begin
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
end $$;

-- As before, but `waiting` is counted to the end, whatever waits.
drop function troupe.list_queues(text, text, int, int);
drop function troupe.waiting(text, int);
create function troupe.list_queues(p_only text, p_after text, p_limit int)
returns table (name text, paused_at timestamptz, concurrency int, version bigint, changed_at timestamptz,
               waiting bigint, running bigint, rate int, rate_period_ms int, rate_burst int,
               key_concurrency int, key_rate int, key_rate_period_ms int, key_rate_burst int,
               ordered boolean)
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
         coalesce(q.ordered, false)
    from known k
   cross join lateral troupe.tallied(k.name) t
    left join troupe.queue q on q.name = k.name
    left join busy b on b.queue = k.name
   order by k.name;
end $$;

-- What there is already. Its tables have been locked since they got their triggers.
select troupe.recount();
