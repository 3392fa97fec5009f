-- An entry of `ready` is a run: of so many jobs with consecutive ids. What is enqueued together is a few
-- rows instead of one for each job, and a claim reads the jobs of a run by range and not one by one.

alter table troupe.ready add column jobs smallint not null default 1; -- job_id is the first one's
alter table troupe.ready add constraint ready_jobs_check check (jobs > 0) not valid;

-- A cursor may stand within a run: it is then just before it, and so many of the run's jobs are gone.
alter table troupe.lane add column part smallint not null default 0,
                        add column late_part smallint not null default 0;

-- The first p_most jobs of runs, of the first of which p_skip are missing; and where a cursor stands
-- that has passed them.
create function troupe.cut_runs(
  inout firsts bigint[], inout counts int[], inout attempts smallint[], inout xacts xid8[], inout seqs bigint[],
  p_skip int, p_most int, out xact xid8, out seq bigint, out part smallint)
language plpgsql immutable as $$
declare
  total int := 0;
  last int := cardinality(counts);
begin
  part := 0;
  for k in 1 .. last loop
    total := total + counts[k];
    if total >= p_most then
      last := k;
      exit;
    end if;
  end loop;
  if total > p_most then
    counts[last] := counts[last] - (total - p_most);
    part := counts[last] + case when last = 1 then p_skip else 0 end;
  end if;
  if last < cardinality(counts) then
    firsts := firsts[:last]; counts := counts[:last]; attempts := attempts[:last];
    xacts := xacts[:last]; seqs := seqs[:last];
  end if;
  xact := xacts[last];
  seq := seqs[last] - (part > 0)::int;
end $$;

-- The next runs of a lane behind a cursor, p_rows at most, and of them p_limit jobs at most: `got` jobs,
-- behind which the cursor stands at xact, seq and part. `more`: there may be others. With writers: of
-- these alone, looked up one by one; `= any` with an order would read the lane's log from its beginning.
-- What was read and `snap` come from one statement. Run with a claim's settings.
create function troupe.next_runs(
  p_lane int, p_writers xid8[], p_xact xid8, p_seq bigint, p_part smallint, p_limit int, p_rows int,
  out firsts bigint[], out counts int[], out attempts smallint[], out xacts xid8[], out seqs bigint[],
  out got int, out more boolean, out snap pg_snapshot, out skip int, out xact xid8, out seq bigint,
  out part smallint)
language plpgsql as $$
begin
  if p_writers is null then
    select array_agg(r.job_id), array_agg(r.jobs::int), array_agg(r.attempt), array_agg(r.xact),
           array_agg(r.seq), coalesce(sum(r.jobs), 0), count(*) = p_rows, pg_current_snapshot()
      into firsts, counts, attempts, xacts, seqs, got, more, snap
      from (select * from troupe.ready x
             where x.lane = p_lane and (x.xact, x.seq) > (p_xact, p_seq)
             order by x.xact, x.seq limit p_rows) r;
  else
    select array_agg(r.job_id), array_agg(r.jobs::int), array_agg(r.attempt), array_agg(r.xact),
           array_agg(r.seq), coalesce(sum(r.jobs), 0), count(*) = p_rows, pg_current_snapshot()
      into firsts, counts, attempts, xacts, seqs, got, more, snap
      from (select e.*
              from unnest(p_writers) o(writer)
              cross join lateral (
                select x.* from troupe.ready x
                 where x.lane = p_lane and x.xact = o.writer and (x.xact, x.seq) > (p_xact, p_seq)
                 order by x.xact, x.seq limit p_rows) e
             order by e.xact, e.seq limit p_rows) r;
  end if;
  if got = 0 then
    return;
  end if;
  skip := case when xacts[1] = p_xact and seqs[1] = p_seq + 1 then p_part else 0 end;
  if skip > 0 then
    firsts[1] := firsts[1] + skip; counts[1] := counts[1] - skip; got := got - skip;
  end if;
  if got > p_limit then
    got := p_limit; more := true;
  end if;
  select * into firsts, counts, attempts, xacts, seqs, xact, seq, part
    from troupe.cut_runs(firsts, counts, attempts, xacts, seqs, skip, got);
end $$;

-- As before, but by runs: what is claimed is read by range, unless something of it was revoked.
create or replace function troupe.take(p_node bigint, p_queue text, p_limit int, p_slots int default null,
                             p_held int default 0)
returns table (lease bigint, job_id bigint, attempt smallint, max_attempts smallint,
               timeout_ms bigint, kind text, args jsonb, permits int, permits_changed bigint, again boolean)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
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
                 take.permits, take.permits_changed, null::boolean
            from unnest(firsts, counts, attempts) u(f, c, a)
            join troupe.job j on j.id between u.f and u.f + u.c - 1;
      else
        return query
          select lease_id, j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args,
                 take.permits, take.permits_changed, null::boolean
            from unnest(ids, ats) u(i, a) join troupe.job j on j.id = u.i;
      end if;
      return;
    end loop;
    exit when not skipped;
  end loop;
end $$;

-- The same where keys are limited: of what is read the cursor passes only what is handed out or set aside.
create or replace function troupe.read_lane(
  p_queue text, p_lane int, p_limit int, p_looks int,
  out jobs bigint[], out attempts smallint[], out keys text[], out fresh text[], out looked int)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
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
  cut int := 0; -- not read off part: that is an error while nothing is assigned to it
begin
  jobs := '{}'; attempts := '{}'; keys := '{}'; fresh := '{}'; looked := 0;
  select * into l from troupe.lane x where x.id = p_lane for update skip locked;
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
      select * into part from troupe.sort_entries(p_queue, l.priority, ids, ats, p_limit - cardinality(jobs));
      jobs := jobs || part.jobs; attempts := attempts || part.attempts;
      keys := keys || part.keys; fresh := fresh || part.fresh;
      cut := part.cut;
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
  update troupe.lane x
     set xact = l.xact, seq = l.seq, part = l.part, open = l.open, draining = l.draining,
         late_xact = l.late_xact, late_seq = l.late_seq, late_part = l.late_part,
         taken = taken + looked, served_at = clock_timestamp()
   where x.id = l.id and (looked > 0 or x.draining <> l.draining or x.open <> l.open);
end $$;

create or replace function troupe.waiting(p_queue text, p_most int) returns bigint language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  return (
    select count(*) from (
      select from troupe.lane l cross join lateral (
          select r.job_id + case when r.xact = l.xact and r.seq = l.seq + 1 then l.part else 0 end as first,
                 r.job_id + r.jobs - 1 as last, r.attempt
            from troupe.ready r
           where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq)
          union all
          select r.job_id, r.job_id + r.jobs - 1, r.attempt from unnest(l.open) o(writer) cross join lateral (
            select * from troupe.ready x where x.lane = l.id and x.xact = o.writer offset 0) r
          union all
          select r.job_id + case when r.xact = l.late_xact and r.seq = l.late_seq + 1 then l.late_part else 0 end,
                 r.job_id + r.jobs - 1, r.attempt
            from unnest(l.draining) o(writer) cross join lateral (
              select * from troupe.ready x
               where x.lane = l.id and x.xact = o.writer
                 and (x.xact, x.seq) > (l.late_xact, l.late_seq) offset 0) r) e
       cross join generate_series(e.first, e.last) g(job_id)
       where l.queue = p_queue
         and not exists (select from troupe.revoked v
                          where v.job_id = g.job_id and v.attempt = e.attempt offset 0)
      union all
      select from troupe.parked p
       where p.queue = p_queue and troupe.still_waits(p.job_id, p.attempt)
       limit p_most) some_of_them);
end $$;

create or replace function troupe.entries_ahead(
  p_job bigint, p_attempt smallint, p_queue text, p_priority smallint, p_most int,
  out ahead bigint, out more boolean)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  with entry as materialized (
    select l.priority, e.xact, e.seq, g.job_id, e.attempt
      from troupe.lane l cross join lateral (
        -- One writer at a time: `= any` is not sure to go by index, and behind the cursor lies all history.
        (select r.*, 0 as skip from unnest(l.open) o(writer) cross join lateral (
           select x.* from troupe.ready x where x.lane = l.id and x.xact = o.writer limit p_most + 1) r
          limit p_most + 1)
        union all
        (select r.*, case when r.xact = l.late_xact and r.seq = l.late_seq + 1 then l.late_part else 0 end
           from unnest(l.draining) o(writer) cross join lateral (
             select x.* from troupe.ready x
              where x.lane = l.id and x.xact = o.writer and (x.xact, x.seq) > (l.late_xact, l.late_seq)
              limit p_most + 1) r
          limit p_most + 1)
        union all
        (select r.*, case when r.xact = l.xact and r.seq = l.seq + 1 then l.part else 0 end
           from troupe.ready r where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq)
          order by r.xact, r.seq limit p_most + 1)) e
      cross join generate_series(e.job_id + e.skip, e.job_id + e.jobs - 1) g(job_id)
     where l.queue = p_queue and l.priority <= p_priority),
  mine as (
    select e.* from entry e where e.job_id = p_job and e.attempt = p_attempt
     order by e.xact desc, e.seq desc limit 1),
  before as (
    select from entry e cross join mine m
     where (e.priority, e.xact, e.seq, e.job_id) < (m.priority, m.xact, m.seq, m.job_id)
       and not exists (select from troupe.revoked v
                        where v.job_id = e.job_id and v.attempt = e.attempt offset 0)
     limit p_most + 1)
  select case when exists (select from mine) then (select count(*) from before)
              when (select count(*) from entry) > p_most then p_most + 1 end
    into ahead;
  more := coalesce(ahead > p_most, false);
  ahead := least(ahead, p_most);
end $$;

create or replace function troupe.rebase_lanes() returns boolean language plpgsql
set enable_hashjoin = on set enable_mergejoin = on set enable_seqscan = on set jit = off as $$
declare
  newest xid8;
begin
  select x into newest from (
    select xact as x from troupe.lane
    union all
    select (select r.xact from troupe.ready r where r.lane = l.id order by r.xact desc limit 1)
      from troupe.lane l) u
   where x is not null order by x desc limit 1; -- max(xid8) came with PostgreSQL 15
  -- In a later snapshot than the one above, or what has committed in between would look ahead of it.
  if newest is null or newest < pg_snapshot_xmax(pg_current_snapshot()) then
    return false;
  end if;
  lock table troupe.lane in access exclusive mode;
  lock table troupe.ready in access exclusive mode;
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
  return true;
end $$;

-- As before, but what is enqueued together is entered as runs, in the order given.
create or replace function troupe.enqueue_many(
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
  if p_run_at is null and p_delays_ms is null and lanes is null then
    with given as materialized (
      select nextval('troupe.job_id_seq') as id, o, k, q, a, p, m, t, g, lk
        from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                    p_limit_keys)
             with ordinality u(k, q, a, p, m, t, g, lk, o)),
    stored as (
      insert into troupe.job (id, queue, kind, args, priority, max_attempts, timeout_ms, tags, limit_key)
      select id, q, k, a, p, coalesce(m, 20), t, g::text[], lk from given),
    made as (
      insert into troupe.ready (lane, job_id, jobs)
      select shards[1 + (base + g.chunk) % 4], min(g.id), count(*)
        from (select o / 256 as chunk, id, id - o as gap from given) g
       group by g.chunk, g.gap order by min(g.id))
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
    insert into troupe.ready (lane, job_id, jobs)
    select g.lane, min(g.id), count(*)
      from (select lane, o / 256 as chunk, id, id - row_number() over (partition by lane order by o) as gap
              from given where due is null) g
     group by g.lane, g.chunk, g.gap order by min(g.id)),
  waits as (
    insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
    select id, due, lane, 1, 1 from given where due is not null)
  select coalesce(array_agg(id order by o), '{}') into ids from given;
  return ids;
end $$;
