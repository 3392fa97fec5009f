-- Entries of late writers are looked up writer by writer. Asked for by `xact = any (writers)`, and in their
-- order, they were found by reading the lane's log from its beginning: 0.13 s for a million entries that
-- had long been handed out, in each claim that had late writers.

-- Of writers that have ended, what lies behind a position, in the log's order.
create function troupe.late_entries(p_lane int, p_writers xid8[], p_xact xid8, p_seq bigint, p_limit int)
returns setof troupe.ready language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  return query
  select r.*
    from unnest(p_writers) o(writer)
    cross join lateral (
      select x.* from troupe.ready x
       where x.lane = p_lane and x.xact = o.writer and (x.xact, x.seq) > (p_xact, p_seq)
       order by x.xact, x.seq limit p_limit) r
   order by r.xact, r.seq limit p_limit;
end $$;

-- As the claim below, from one lane, with the entries sorted: at most p_looks of them are looked at.
create or replace function troupe.read_lane(
  p_queue text, p_lane int, p_limit int, p_looks int, out jobs bigint[], out attempts smallint[],
  out keys text[], out fresh text[], out looked int)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  l troupe.lane;
  snap pg_snapshot;
  own xid8;
  ended xid8[];
  ids bigint[];
  ats smallint[];
  xs xid8[];
  ss bigint[];
  wanted int;
  got int;
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
      l.draining := ended; l.late_xact := '0'; l.late_seq := 0;
      l.open := array(select o from unnest(l.open) o where o <> all (ended));
    end if;
  end if;
  loop
    wanted := least(greatest(p_limit - cardinality(jobs), 250), p_looks - looked);
    exit when cardinality(jobs) >= p_limit or wanted <= 0;
    late := l.draining <> '{}';
    if late then
      select array_agg(r.job_id), array_agg(r.attempt), array_agg(r.xact), array_agg(r.seq), count(*)
        into ids, ats, xs, ss, got
        from troupe.late_entries(l.id, l.draining, l.late_xact, l.late_seq, wanted) r;
    else
      select array_agg(r.job_id), array_agg(r.attempt), array_agg(r.xact), array_agg(r.seq), count(*),
             pg_current_snapshot()
        into ids, ats, xs, ss, got, snap
        from (select * from troupe.ready r
               where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq)
               order by r.xact, r.seq limit wanted) r;
    end if;
    exit when got = 0 and not late;
    if got > 0 then
      select * into part from troupe.sort_entries(p_queue, l.priority, ids, ats, p_limit - cardinality(jobs));
      jobs := jobs || part.jobs; attempts := attempts || part.attempts;
      keys := keys || part.keys; fresh := fresh || part.fresh;
      cut := part.cut;
      looked := looked + cut;
    end if;
    if late and got < wanted and (got = 0 or cut = got) then
      l.draining := '{}';
      continue;
    elsif late then
      l.late_xact := xs[cut]; l.late_seq := ss[cut];
      continue;
    end if;
    own := pg_current_xact_id();
    if pg_snapshot_xmin(snap) < xs[cut] or own < xs[cut] then
      l.open := l.open || array(select x from pg_snapshot_xip(snap) x
                                 where x > l.xact and x < xs[cut] and x <> own);
      if own < xs[cut] and own <> all (l.open) then
        l.open := l.open || own;
      end if;
    end if;
    l.xact := xs[cut]; l.seq := ss[cut];
    exit when got < wanted and cut = got;
  end loop;
  update troupe.lane x
     set xact = l.xact, seq = l.seq, open = l.open, draining = l.draining, late_xact = l.late_xact,
         late_seq = l.late_seq, taken = taken + looked, served_at = clock_timestamp()
   where x.id = l.id and (looked > 0 or x.draining <> l.draining or x.open <> l.open);
end $$;

-- One batch for a node: locks one lane, reads the log after its cursor, moves the cursor, appends
-- one lease. No rows: nothing to claim in a lane that nobody else is claiming from, or the queue is
-- paused, or its limit is reached. permits is null unless the queue is limited, and again unless its keys
-- are: then a row without a lease says that there was nothing, and again whether to ask on at once.
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
  ids bigint[];
  ats smallint[];
  more_ids bigint[];
  more_ats smallint[];
  xs xid8[];
  ss bigint[];
  got int;
  more int;
  moved boolean;
  skipped boolean;
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
      ids := '{}'; ats := '{}'; got := 0;
      if l.draining = '{}' and l.open <> '{}' then
        -- An older snapshot than the one that reads below, so all entries of these are visible there.
        -- A snapshot takes its own transaction for ended, but it may still enqueue.
        snap := pg_current_snapshot();
        own := pg_current_xact_id();
        ended := array(select o from unnest(l.open) o
                        where o <> own and pg_visible_in_snapshot(o, snap));
        if ended <> '{}' then
          l.draining := ended; l.late_xact := '0'; l.late_seq := 0;
          l.open := array(select o from unnest(l.open) o where o <> all (ended));
        end if;
      end if;
      moved := l.draining <> '{}';
      if moved then
        select array_agg(r.job_id), array_agg(r.attempt), array_agg(r.xact), array_agg(r.seq), count(*)
          into ids, ats, xs, ss, got
          from troupe.late_entries(l.id, l.draining, l.late_xact, l.late_seq, p_limit) r;
        if got < p_limit then
          l.draining := '{}';
        else
          l.late_xact := xs[got]; l.late_seq := ss[got];
        end if;
      end if;
      if got < p_limit then
        -- One statement: what is read and what counts as still open come from one snapshot.
        select array_agg(r.job_id), array_agg(r.attempt), array_agg(r.xact), array_agg(r.seq),
               count(*), pg_current_snapshot()
          into more_ids, more_ats, xs, ss, more, snap
          from (select * from troupe.ready r
                 where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq)
                 order by r.xact, r.seq limit p_limit - got) r;
        if more > 0 then
          -- Writers that the cursor passes while they are open. The claim's own transaction is one of
          -- them when its caller goes on to enqueue; a snapshot never lists its own.
          own := pg_current_xact_id();
          if pg_snapshot_xmin(snap) < xs[more] or own < xs[more] then
            l.open := l.open || array(select x from pg_snapshot_xip(snap) x
                                       where x > l.xact and x < xs[more] and x <> own);
            if own < xs[more] and own <> all (l.open) then
              l.open := l.open || own;
            end if;
          end if;
          l.xact := xs[more]; l.seq := ss[more];
          ids := coalesce(ids, '{}') || more_ids; ats := coalesce(ats, '{}') || more_ats;
          got := got + more;
        end if;
      end if;
      continue when got = 0 and not moved;
      update troupe.lane x
         set xact = l.xact, seq = l.seq, open = l.open, draining = l.draining,
             late_xact = l.late_xact, late_seq = l.late_seq, taken = taken + got,
             served_at = clock_timestamp()
       where x.id = l.id;
      continue when got = 0;
      if exists (select from troupe.revoked) then
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
      end if;
      insert into troupe.lease (node, jobs, attempts) values (p_node, ids, ats)
        returning id into lease_id;
      if said then
        select n.permits, n.changed into permits, permits_changed
          from troupe.note_claimed(p_node, p_queue, p_slots, p_held, cardinality(ids), most, have) n;
      end if;
      return query
        select lease_id, j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args,
               take.permits, take.permits_changed, null::boolean
          from unnest(ids, ats) u(i, a) join troupe.job j on j.id = u.i;
      return;
    end loop;
    exit when not skipped;
  end loop;
end $$;

-- How many jobs of a queue may run and were not handed out yet; counted up to p_most.
create or replace function troupe.waiting(p_queue text, p_most int) returns bigint language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  return (
    select count(*) from (
      select from troupe.lane l cross join lateral (
          select r.job_id, r.attempt from troupe.ready r
           where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq)
          union all
          select r.job_id, r.attempt from unnest(l.open) o(writer) cross join lateral (
            select * from troupe.ready x where x.lane = l.id and x.xact = o.writer offset 0) r
          union all
          select r.job_id, r.attempt from unnest(l.draining) o(writer) cross join lateral (
            select * from troupe.ready x
             where x.lane = l.id and x.xact = o.writer
               and (x.xact, x.seq) > (l.late_xact, l.late_seq) offset 0) r) e
       where l.queue = p_queue
         and not exists (select from troupe.revoked v
                          where v.job_id = e.job_id and v.attempt = e.attempt offset 0)
      union all
      select from troupe.parked p
       where p.queue = p_queue and troupe.still_waits(p.job_id, p.attempt)
       limit p_most) some_of_them);
end $$;
