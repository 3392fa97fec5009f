-- Exact counts of the jobs of each queue and state without counting jobs: whoever changes how many there
-- are appends what it changed, one row per statement and queue, and the janitor folds these rows into one
-- per queue. Claims append nothing: what runs is in the leases, and what is available is the rest.

-- For migrations: changes a function where it stands, so that nobody says again what does not change, and no
-- other change of it is undone. Its name, with the types of what it takes if there are several; the lines that
-- are replaced are there once.
create function troupe.edit_function(p_name text, p_old text, p_new text) returns void language plpgsql as $$
declare
  before text;
  after text;
begin
  before := pg_get_functiondef(case when p_name like '%(%' then ('troupe.' || p_name)::regprocedure::oid
                                    else ('troupe.' || p_name)::regproc::oid end);
  after := replace(before, p_old, p_new);
  if length(after) <> length(before) + length(p_new) - length(p_old) or p_old = p_new then
    raise exception 'troupe.% does not have this once: %', p_name, p_old;
  end if;
  execute after;
end $$;

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
select troupe.edit_function('enqueue_many', $old$
       group by g.chunk, g.gap order by min(g.id))
$old$, $new$
       group by g.chunk, g.gap order by min(g.id)),
    counted as (
      insert into troupe.tally (queue, state, jobs) values (p_queues[1], 0, cardinality(p_kinds)))
$new$);
select troupe.edit_function('enqueue_many', $old$
    select id, due, lane, 1, 1 from given where due is not null)
$old$, $new$
    select id, due, lane, 1, 1 from given where due is not null),
  counted as (
    insert into troupe.tally (queue, state, jobs)
    select p_queues[1], 0, cardinality(p_kinds) where lanes is null
    union all
    select q, 0, count(*) from unnest(p_queues) q where lanes is not null group by q)
$new$);

-- As before, but they are counted.
select troupe.edit_function('enqueue_here', $old$
      returning j.id, j.args)
$old$, $new$
      returning j.id, j.args),
    counted as (
      insert into troupe.tally (queue, state, jobs) values (p_queues[1], 0, cardinality(p_kinds)))
$new$);

-- As before, but they are counted.
select troupe.edit_function('queue_pages', $old$
  if made > 0 then
$old$, $new$
  if made > 0 then
    insert into troupe.tally (queue, state, jobs) values ('scrape.pages', 0, made);
$new$);

-- As before, but those that end their jobs are counted.
select troupe.edit_function('store_outcomes', $old$
  held_attempts smallint[];
$old$, $new$
  held_attempts smallint[];
  homes text[];   -- the queues of the leases, and
  amounts bigint[]; -- how many outcomes are of each
$new$);
select troupe.edit_function('store_outcomes', $old$
  if p_plain and cardinality(alive) = cardinality(p_done) + cardinality(p_held) then
$old$, $new$
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
$new$);
select troupe.edit_function('store_outcomes', $old$
      insert into troupe.attempt (job_id, attempt, outcome, node, started_at, finished_at, result)
      select i, a, 1, p_node, now() - s * interval '1 ms', now() - f * interval '1 ms', r
        from unnest(p_jobs, p_attempts, p_started_ago_ms, p_finished_ago_ms, p_results) u(i, a, s, f, r);
$old$, $new$
      with ended as (
        insert into troupe.attempt (job_id, attempt, outcome, node, started_at, finished_at, result)
        select i, a, 1, p_node, now() - s * interval '1 ms', now() - f * interval '1 ms', r
          from unnest(p_jobs, p_attempts, p_started_ago_ms, p_finished_ago_ms, p_results) u(i, a, s, f, r))
      insert into troupe.tally (queue, state, jobs)
      select q, 1, c from unnest(homes, amounts) u(q, c);
$new$);
select troupe.edit_function('store_outcomes', $old$
           troupe.lane_for(j.queue, j.priority, i) as lane
$old$, $new$
           troupe.lane_for(j.queue, j.priority, i) as lane, j.queue as home
$new$);
select troupe.edit_function('store_outcomes', $old$
    select i, a, o, w, lane from given
$old$, $new$
    select i, a, o, w, lane, home from given
$new$);
select troupe.edit_function('store_outcomes', $old$
    returning job_id)
$old$, $new$
    returning job_id),
  counted as (
    insert into troupe.tally (queue, state, jobs)
    select home, o, count(*) from kept where o in (1, 2, 3) group by home, o)
$new$);

-- As before, but a job that is not in the lease is not ended by it.
select troupe.edit_function('finish(bigint, bigint, bigint, int, text, jsonb, text, bigint)', $old$
  if not found then
$old$, $new$
  if not found or not exists (select from unnest(held.jobs, held.attempts) u(i, a)
                               where u.i = finish.job and u.a = finish.attempt) then
$new$);

-- As before, but those that are quarantined are counted.
select troupe.edit_function('rescue', $old$
    returning job_id, attempt, outcome),
$old$, $new$
    returning job_id, attempt, outcome),
  counted as (
    insert into troupe.tally (queue, state, jobs)
    select j.queue, 3, count(*) from ended e join troupe.job j on j.id = e.job_id
     where e.outcome = 3 group by j.queue),
$new$);

-- As before, but it is counted.
select troupe.edit_function('cancel', $old$
    if found then
$old$, $new$
    if found then
      insert into troupe.tally (queue, state, jobs) select j.queue, 2, 1 from troupe.job j where j.id = p_job;
$new$);

-- As before, but its pages are counted; and none of them can be snoozed and cancelled at once.
select troupe.edit_function('close_crawl', $old$
  update troupe.crawl set closed = true where job_id = p_crawl;
$old$, $new$
  update troupe.crawl set closed = true where job_id = p_crawl;
  -- A snooze writes no attempt that the statement below could meet, so these two meet at the job.
  perform from troupe.job j
    where j.id in (select p.job_id from troupe.page p
                    where p.crawl = p_crawl
                      and not exists (select from troupe.item i where i.crawl = p.crawl and i.page = p.job_id))
    order by j.id for update;
$new$);
select troupe.edit_function('close_crawl', $old$
    returning job_id, attempt),
$old$, $new$
    returning job_id, attempt),
  counted as (
    insert into troupe.tally (queue, state, jobs)
    select j.queue, 2, count(*) from ended e join troupe.job j on j.id = e.job_id group by j.queue),
$new$);

-- As before, but it is counted, and an outcome that comes too late leaves nothing.
select troupe.edit_function('delete_job', $old$
  delete from troupe.attempt where job_id = p_job;
  delete from troupe.job where id = p_job;
$old$, $new$
  delete from troupe.job where id = p_job; -- before its attempts: how it ended is counted by them
  -- One that was cancelled while it ran may still be in its node's hands: what that has to say of it finds
  -- the outcome there.
  delete from troupe.attempt t
   where t.job_id = p_job
     and not exists (select from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
                      where l.jobs @> array[p_job] and u.i = p_job and u.a = t.attempt);
  update troupe.attempt set reopened = true where job_id = p_job and not reopened;
$new$);

-- As before, but they are counted.
select troupe.edit_function('cancel_jobs', $old$
      returning job_id)
$old$, $new$
      returning job_id),
    counted as (
      insert into troupe.tally (queue, state, jobs)
      select n.queue, 2, count(*) from ended e join now n on n.id = e.job_id group by n.queue)
$new$);

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
select troupe.edit_function('look_through', $old$
    select j.id, j.parent, a.outcome,
$old$, $new$
    select j.id, j.queue, j.parent, a.outcome,
$new$);
select troupe.edit_function('look_through', $old$
                           where c.job_id = e.parent and not c.closed offset 0))
$old$, $new$
                           where c.job_id = e.parent and not c.closed offset 0)
    returning job_id),
  leaving as (
    insert into troupe.expiring (queue, outcome, jobs)
    select e.queue, e.outcome, count(*) from last e where e.id not in (select k.job_id from kept k)
     group by e.queue, e.outcome)
$new$);

-- As before, but what is dropped is counted.
select troupe.edit_function('swap_jobs', $old$
  end if;
  return case when p_moved then 'moved' else 'dropped' end;
$old$, $new$
  end if;
  insert into troupe.tally (queue, state, jobs)
  select e.queue, s.state, -sum(e.jobs) from troupe.expiring e cross join lateral unnest(array[0, e.outcome]) s(state)
   group by e.queue, s.state;
  return case when p_moved then 'moved' else 'dropped' end;
$new$);

-- As before, but what is to be dropped is counted.
select troupe.edit_function('expire_jobs', $old$
    delete from troupe.straggler s;
$old$, $new$
    delete from troupe.straggler s;
    delete from troupe.expiring x;
$new$);

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
