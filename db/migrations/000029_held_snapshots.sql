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
end $_$;

create or replace function troupe.lane_for(p_queue text, p_priority smallint, p_n bigint)
returns int
language sql stable as $$
  select l.id from troupe.known_lane l where l.queue = p_queue and l.priority = p_priority
   order by l.shard = p_n % 4 desc, l.shard limit 1;
$$;

select troupe.edit_function('lanes_of', $old$
  select g.i, coalesce((select l.id from troupe.lane l
$old$, $new$
  select g.i, coalesce((select l.id from troupe.known_lane l
$new$);

select troupe.edit_function('enqueue_here', $old$
                       where not exists (select from troupe.lane l
$old$, $new$
                       where not exists (select from troupe.known_lane l
$new$);

select troupe.edit_function('enqueue_many', $old$
    shards := array(select l.id from troupe.lane l
$old$, $new$
    shards := array(select l.id from troupe.known_lane l
$new$);
select troupe.edit_function('enqueue_many', $old$
                where not exists (select from troupe.lane l
$old$, $new$
                where not exists (select from troupe.known_lane l
$new$);
select troupe.edit_function('enqueue_many', $old$
      select coalesce((select l.id from troupe.lane l
$old$, $new$
      select coalesce((select l.id from troupe.known_lane l
$new$);

select troupe.edit_function('fold_tallies', $old$
    select k.name from (select distinct l.queue as name from troupe.lane l
$old$, $new$
    select k.name from (select distinct l.queue as name from troupe.known_lane l
$new$);

select troupe.edit_function('list_counts', $old$
    select k.name from (select distinct l.queue as name from troupe.lane l
$old$, $new$
    select k.name from (select distinct l.queue as name from troupe.known_lane l
$new$);

select troupe.edit_function('list_queues', $old$
    select k.name from (select distinct l.queue as name from troupe.lane l
$old$, $new$
    select k.name from (select distinct l.queue as name from troupe.known_lane l
$new$);

create or replace function troupe.recent_queues(p_limit int)
returns text[]
language sql stable as $$
  select coalesce(array_agg(x.queue), '{}') from (
    select l.queue from troupe.lane_now l group by l.queue order by max(l.served_at) desc, l.queue
     limit p_limit) x;
$$;

select troupe.edit_function('sleep_on', $old$
      select from troupe.lane l
$old$, $new$
      select from troupe.lane_now l
$new$);

select troupe.edit_function('entries_wanted', $old$
       select from troupe.lane l
$old$, $new$
       select from troupe.lane_now l
$new$);

select troupe.edit_function('bulk_apply', $old$
        join troupe.lane x on x.queue = p.queue and x.priority = p.priority order by x.id);
$old$, $new$
        join troupe.known_lane x on x.queue = p.queue and x.priority = p.priority order by x.id);
$new$);
select troupe.edit_function('bulk_apply', $old$
      if round = 2 and lanes is not null then
        perform from troupe.lane l where l.id = any (lanes) order by l.id for update;
$old$, $new$
      if round = 2 and lanes is not null then
        perform troupe.hold_lanes(lanes);
$new$);
select troupe.edit_function('bulk_apply', $old$
        perform from troupe.lane l where l.id = any (lanes) order by l.id for update;
$old$, $new$
        perform troupe.hold_lanes(lanes);
$new$);

select troupe.edit_function('delete_job', $old$
  perform from troupe.lane l where l.queue = j.queue and l.priority = j.priority
    order by l.id for update;
$old$, $new$
  perform troupe.hold_lanes(array(select l.id from troupe.known_lane l
                                   where l.queue = j.queue and l.priority = j.priority));
$new$);

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
end $$;

-- -- claims ----------------------------------------------------------------------------------------

-- As before, but a lane is looked up with its era, and what was revoked among the jobs that were read.
select troupe.edit_function('take', $old$
  candidate int;
$old$, $new$
  candidate record;
$new$);
select troupe.edit_function('take', $old$
      select x.id from troupe.lane x where x.queue = p_queue order by x.priority, x.served_at, x.id
    loop
      -- One row at a time: a FOR loop over the locking query would prefetch, and lock, all of them.
      select * into l from troupe.lane x where x.id = candidate for update skip locked;
$old$, $new$
      select x.id, x.era from troupe.lane_now x where x.queue = p_queue
       order by x.priority, x.served_at, x.id
    loop
      -- One row at a time: a FOR loop over the locking query would prefetch, and lock, all of them.
      select * into l from troupe.lane x
        where x.id = candidate.id and x.era >= candidate.era for update skip locked;
$new$);
select troupe.edit_function('take', $old$
             taken = taken + got, served_at = clock_timestamp()
       where x.id = l.id;
$old$, $new$
             taken = taken + got, served_at = clock_timestamp(), moves = moves + 1, era = (moves + 1) / 32
       where x.id = l.id and x.era = l.era;
$new$);
select troupe.edit_function('take', $old$
      whole := not exists (select from troupe.revoked);
$old$, $new$
      whole := not exists (
        select from troupe.revoked v
         where v.job_id between (select min(f) from unnest(firsts) f)
                            and (select max(f + c - 1) from unnest(firsts, counts) u(f, c)));
$new$);

-- As before, but a lane is looked up with its era.
select troupe.edit_function('read_lane', $old$
  select * into l from troupe.lane x where x.id = p_lane for update skip locked;
$old$, $new$
  select * into l from troupe.lane x
    where x.id = p_lane and x.era >= (select y.era from troupe.lane y where y.id = p_lane order by y.era desc limit 1)
      for update skip locked;
$new$);
select troupe.edit_function('read_lane', $old$
         taken = taken + looked, served_at = clock_timestamp()
   where x.id = l.id and (looked > 0 or x.draining <> l.draining or x.open <> l.open);
$old$, $new$
         taken = taken + looked, served_at = clock_timestamp(), moves = moves + 1,
         era = (moves + 1) / 32
   where x.id = l.id and x.era = l.era and (looked > 0 or x.draining <> l.draining or x.open <> l.open);
$new$);

select troupe.edit_function('take_keyed', $old$
      select x.id, x.priority, x.served_at from troupe.lane x where x.queue = p_queue
$old$, $new$
      select x.id, x.priority, x.served_at from troupe.lane_now x where x.queue = p_queue
$new$);

-- As before, but a lane is looked up with its era.
select troupe.edit_function('take_next', $old$
  for urgency in select distinct x.priority from troupe.lane x where x.queue = p_queue order by 1 loop
    lanes := array(select x from troupe.lane x where x.queue = p_queue and x.priority = urgency order by x.id);
$old$, $new$
  for urgency in select distinct x.priority from troupe.known_lane x where x.queue = p_queue order by 1 loop
    lanes := array(
      select x.row from troupe.known_lane k
       cross join lateral (select y as row from troupe.lane y where y.id = k.id order by y.era desc limit 1) x
       where k.queue = p_queue and k.priority = urgency order by k.id);
$new$);
select troupe.edit_function('take_next', $old$
                                             shard, queue, open, draining, part, late_part, nth)
$old$, $new$
                                             shard, queue, open, draining, part, late_part, moves, era,
                                             nth)
$new$);
select troupe.edit_function('take_next', $old$
      perform from troupe.lane x where x.id = l.id for update skip locked;
$old$, $new$
      perform from troupe.lane x where x.id = l.id and x.era >= l.era for update skip locked;
$new$);
select troupe.edit_function('take_next', $old$
               late_xact = l.late_xact, late_seq = l.late_seq, late_part = l.late_part, taken = l.taken, served_at = clock_timestamp()
         where x.id in (select y.id from troupe.lane y where y.id = l.id for update skip locked);
$old$, $new$
               late_xact = l.late_xact, late_seq = l.late_seq, late_part = l.late_part, taken = l.taken,
               served_at = clock_timestamp(), moves = x.moves + 1, era = (x.moves + 1) / 32
         where (x.id, x.era) in (select y.id, y.era from troupe.lane y
                                  where y.id = l.id and y.era >= l.era for update skip locked);
$new$);
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
end $$;

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
end $$;

-- As before, but the living are looked for by checkpoints.
select troupe.edit_function('beat', $old$
    returning old.heartbeat_at),
$old$, $new$
    returning old.heartbeat_at),
  held as materialized (select l.id, l.jobs, l.attempts from troupe.live_leases(p_node) l),
$new$);
select troupe.edit_function('beat', $old$
         array(select u.i from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
                where l.node = p_node and (select exists (select from troupe.revoked))
                  and exists (select from troupe.revoked v
                               where v.job_id = u.i and v.attempt = u.a offset 0)) as cancelled,
         array(select id from troupe.lease where node = p_node order by id) as leases,
         (select ceil(extract(epoch from min(due_at) - clock_timestamp()) * 1000)::bigint
            from troupe.deferred) as next_due_ms,
         array(select distinct l.queue from troupe.lane l
$old$, $new$
         array(select u.i from held l, unnest(l.jobs, l.attempts) u(i, a)
                where exists (select from troupe.revoked v
                               where v.job_id between (select min(j) from unnest(l.jobs) j)
                                                  and (select max(j) from unnest(l.jobs) j))
                  and exists (select from troupe.revoked v
                               where v.job_id = u.i and v.attempt = u.a offset 0)) as cancelled,
         array(select id from held order by id) as leases,
         (select ceil(extract(epoch from troupe.next_due() - clock_timestamp()) * 1000)::bigint) as next_due_ms,
         array(select distinct l.queue from troupe.lane_now l
$new$);
select troupe.edit_function('beat', $old$
         array(select s.most from share s order by s.queue) as caps;
$old$, $new$
         array(select s.most from share s order by s.queue) as caps;
  perform troupe.note_checkpoints();
$new$);

select troupe.edit_function('running', $old$
            from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
$old$, $new$
            from troupe.live_leases() l, unnest(l.jobs, l.attempts) u(i, a)
$new$);

-- As before, but asks of these leases only.
select troupe.edit_function('write_outcomes', $old$
  if exists (select from troupe.key_run k where k.node = p_node) then
$old$, $new$
  if exists (select from troupe.key_run k where k.node = p_node and k.lease = any (p_done || p_leases)) then
$new$);

select troupe.edit_function('upkeep', $old$
      from troupe.lane l),
$old$, $new$
      from troupe.lane_now l),
$new$);

-- As before, but forgets checkpoints of another server, too.
select troupe.edit_function('rebase_lanes', $old$
begin
$old$, $new$
begin
  delete from troupe.checkpoint c where c.xact > pg_snapshot_xmax(pg_current_snapshot());
$new$);
