-- Ordered queues: one job after the other, on all nodes together, in the order in which they were put in.
--
-- Claims of such a queue take turns by its row, which names its head: the job that was handed out last. While
-- the head has not ended for good, nothing else is handed out. The next attempt of a head needs no entry in a
-- lane, for the claim asks for its state: whoever makes it ready (promote, rescue, retry, replace) makes no
-- entry. So at every commit a head has no entry that a claim could still meet, in an ordered queue or in one
-- that was ordered. To say whether a job is a head they lock the queue's row for key share, which waits for
-- nobody but troupe.order_queue.
--
-- What comes after the head is the entry with the lowest (xact, seq) of all lanes of the best priority: jobs
-- are stored as ever, and a queue may become ordered, or cease to be, whatever waits in it.

alter table troupe.queue
  add column ordered boolean not null default false,
  add column head_job bigint,
  add column head_lease bigint,
  add column others bigint[] not null default '{}', -- leases that have to end first: from before it was ordered
  add check (not ordered or concurrency is null and key_concurrency is null and key_rate is null);

-- What has become of a head: 'busy' (a node has it, or what is left of it), 'later' (it is not due yet),
-- 'ready', or 'ended' (for good, or deleted). A statement of its own sees what was done before it.
create function troupe.head_state(p_job bigint, p_lease bigint, out state text, out attempt smallint, out
  node bigint, out final boolean, out due_at timestamptz)
language plpgsql stable set plan_cache_mode = force_generic_plan set enable_hashjoin = off set
enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
begin
  select case when l.id is not null then 'busy'
              when x.id is null or coalesce(x.over, false) then 'ended'
              when d.job_id is not null then 'later'
              else 'ready' end,
         coalesce(x.last, 0) + 1, l.node, coalesce(x.over, x.id is null), d.due_at
    into state, attempt, node, final, due_at
    from (select) one
    left join (
      select j.id, a.attempt as last, a.outcome in (1, 2, 3) and not a.reopened as over
        from troupe.job j
        left join lateral (select t.* from troupe.attempt t where t.job_id = j.id
                            order by t.attempt desc limit 1) a on true
       where j.id = p_job) x on true
    left join troupe.lease l on l.id = p_lease and l.jobs @> array[p_job]
    left join troupe.deferred d on d.job_id = p_job;
end $$;

-- -- changing it -----------------------------------------------------------------------------------

create function troupe.refuse_if_ordered(p_queue text) returns void language plpgsql as $$
begin
  if exists (select from troupe.queue q where q.name = p_queue and q.ordered) then
    raise exception 'queue "%" is ordered: one job runs after the other, and only a rate limits it', p_queue
      using errcode = 'TR409';
  end if;
end $$;

-- What has begun by now goes on, and ends before anything else is handed out. What was to be tried again
-- comes when it is due, as if it were put in then: it has no place in the order yet.
create function troupe.order_queue(p_queue text, p_ordered boolean)
returns void language plpgsql set enable_hashjoin = off set enable_mergejoin = off set
enable_seqscan = off set jit = off set lock_timeout = '2s' as $$
declare
  q troupe.queue;
  head record;
  running bigint[];
begin
  if p_ordered is null then
    raise exception 'ordered must be true or false' using errcode = 'TR400';
  end if;
  perform troupe.stop_claims(p_queue);
  select * into q from troupe.queue x where x.name = p_queue;
  begin
    perform from troupe.job j where j.id = q.head_job for update; -- before the queue, as troupe.retry
    select * into q from troupe.queue x where x.name = p_queue for update;
  exception when lock_not_available then
    raise exception 'a long transaction changes queue "%" or its first job; try again later', p_queue
      using errcode = 'TR409';
  end;
  if coalesce(q.ordered, false) = p_ordered then
    return;
  elsif p_ordered
        and (q.concurrency is not null or q.key_concurrency is not null or q.key_rate is not null) then
    raise exception 'queue "%" is limited: an ordered queue can have no limits but a rate; remove them first',
      p_queue using errcode = 'TR409';
  elsif p_ordered and current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'a queue becomes ordered at read committed only: an older snapshot may not show what runs'
      using errcode = 'TR400';
  elsif p_ordered then
    running := array(select l.id from troupe.lease l
                      where exists (select from unnest(l.jobs) u(i) join troupe.job j on j.id = u.i
                                     where j.queue = p_queue));
    insert into troupe.queue (name, ordered, others) values (p_queue, true, running)
    on conflict (name) do update
       set ordered = true, others = running, changed_at = now(), version = queue.version + 1;
    return;
  end if;
  update troupe.queue x
     set ordered = false, head_job = null, head_lease = null, others = '{}', changed_at = now(),
         version = x.version + 1
   where x.name = p_queue;
  if q.head_job is not null then
    select * into head from troupe.head_state(q.head_job, q.head_lease);
    insert into troupe.ready (lane, job_id, attempt)
    select troupe.lane_for(j.queue, j.priority, j.id), j.id, head.attempt
      from troupe.job j where j.id = q.head_job and head.state = 'ready';
  end if;
end $$;

create or replace function troupe.limit_queue(p_queue text, p_concurrency int)
returns void language plpgsql as $$
begin
  if p_concurrency is not null then
    perform troupe.refuse_if_ordered(p_queue);
  end if;
  insert into troupe.queue (name, concurrency) values (p_queue, p_concurrency)
  on conflict (name) do update
     set concurrency = p_concurrency, changed_at = now(), version = queue.version + 1
   where queue.concurrency is distinct from p_concurrency;
end  $$;

create or replace function troupe.limit_keys(p_queue text, p_concurrency int)
returns void language plpgsql set enable_hashjoin = off set enable_mergejoin = off set
enable_seqscan = off set jit = off as $$
declare
  before boolean;
begin
  perform troupe.stop_claims(p_queue);
  if p_concurrency is not null then
    perform troupe.refuse_if_ordered(p_queue);
  end if;
  select x.key_concurrency is not null or x.key_rate is not null into before
    from troupe.queue x where x.name = p_queue;
  insert into troupe.queue (name, key_concurrency) values (p_queue, p_concurrency)
  on conflict (name) do update
     set key_concurrency = p_concurrency, changed_at = now(), version = queue.version + 1
   where queue.key_concurrency is distinct from p_concurrency;
  if found then
    perform troupe.keys_changed(p_queue, before);
  end if;
end  $$;

create or replace function troupe.rate_keys(p_queue text, p_rate int, p_period_ms int, p_burst int)
returns void language plpgsql set enable_hashjoin = off set enable_mergejoin = off set
enable_seqscan = off set jit = off as $$
declare
  before boolean;
begin
  perform troupe.stop_claims(p_queue);
  if p_rate is not null then
    perform troupe.refuse_if_ordered(p_queue);
  end if;
  select x.key_concurrency is not null or x.key_rate is not null into before
    from troupe.queue x where x.name = p_queue;
  insert into troupe.queue (name, key_rate, key_rate_period_ms, key_rate_burst)
  values (p_queue, p_rate, p_period_ms, p_burst)
  on conflict (name) do update
     set key_rate = p_rate, key_rate_period_ms = p_period_ms, key_rate_burst = p_burst,
         changed_at = now(), version = queue.version + 1
   where (queue.key_rate, queue.key_rate_period_ms, queue.key_rate_burst)
         is distinct from (p_rate, p_period_ms, p_burst);
  if found then
    delete from troupe.key_pace where queue = p_queue;
    perform troupe.keys_changed(p_queue, before);
  end if;
end  $$;

-- -- handing out -----------------------------------------------------------------------------------

-- A claim's own transaction has handed out what it entered itself, up to this place. What is left of its
-- last run begins there; the rest goes, so that it is not met again when its transaction counts as a late
-- writer. The place within the run that the cursor keeps.
create function troupe.take_own(p_lane int, p_xact xid8, p_seq bigint, p_part smallint)
returns smallint language plpgsql as $$
begin
  delete from troupe.ready r
   where r.lane = p_lane and r.xact = pg_current_xact_id() and (r.xact, r.seq) <= (p_xact, p_seq);
  if p_part > 0 and p_xact = pg_current_xact_id() then
    update troupe.ready r set job_id = r.job_id + p_part, jobs = r.jobs - p_part
     where r.lane = p_lane and r.xact = p_xact and r.seq = p_seq + 1;
    return 0;
  end if;
  return p_part;
end $$;

-- Of an ordered queue, whose row the caller has locked: the head again, or what comes after it. As
-- troupe.take, but without a job there is a row that says whether to ask on.
create function troupe.take_ordered(p_node bigint, p_queue text, p_limit int, p_slots int)
returns table (lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind
  text, args jsonb, permits int, permits_changed bigint, again boolean, retry jsonb)
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set
enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  most_passed constant int := 1000; -- revoked entries by one claim
  q troupe.queue;
  head record;
  mine boolean;
  picked bigint;
  nth smallint;
  lease_id bigint;
begin
  again := false;
  select * into q from troupe.queue x where x.name = p_queue;
  -- A worker of plain SQL that asks for more has stopped what was cancelled, though it rolled back.
  if p_limit <= 0
     or exists (select from troupe.lease l
                 where l.id = any (q.others)
                   and not (p_slots is null and l.node = p_node
                            and not exists (select from unnest(l.jobs, l.attempts) u(i, a)
                                             where not exists (select from troupe.attempt t
                                                                where t.job_id = u.i and t.attempt = u.a))))
  then
    return next;
    return;
  end if;
  if q.head_job is not null then
    -- Whoever cancels, deletes or replaces a job that waits holds its row.
    perform from troupe.job j where j.id = q.head_job for key share skip locked;
    mine := found;
    select * into head from troupe.head_state(q.head_job, q.head_lease);
    if head.state = 'ready' and mine then
      picked := q.head_job; nth := head.attempt;
    elsif head.state <> 'ended' and not (head.final and p_slots is null and head.node = p_node) then
      return next;
      return;
    end if;
  end if;
  if picked is null then
    select t.job, t.attempt, t.passed >= most_passed into picked, nth, again
      from troupe.take_next(p_queue, most_passed) t;
    if picked is null then
      return next;
      return;
    end if;
  end if;
  insert into troupe.lease (node, jobs, attempts) values (p_node, array[picked], array[nth])
    returning id into lease_id;
  update troupe.queue x set head_job = picked, head_lease = lease_id, others = '{}' where x.name = p_queue;
  perform troupe.note_claimed(p_node, p_queue, p_slots, 0, 1, null, null);
  return query
    select lease_id, j.id, nth, j.max_attempts, j.timeout_ms, j.kind, j.args, null::int, null::bigint,
           false, j.retry
      from troupe.job j where j.id = picked;
end $$;

-- The first entry in the order, which no claim meets again; null: there is none, or somebody is at it. Passes
-- so many revoked ones.
create function troupe.take_next(p_queue text, p_most int, out job bigint, out attempt smallint, out passed
  int)
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set
enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
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
  for urgency in select distinct x.priority from troupe.lane x where x.queue = p_queue order by 1 loop
    lanes := array(select x from troupe.lane x where x.queue = p_queue and x.priority = urgency order by x.id);
    was := lanes;
    loop
      before := pg_current_snapshot(); -- older than what the next statement sees
      -- Of each lane: what late writers have left there, and what is behind its cursor. One statement: what is
      -- read and what counts as still open come from one snapshot.
      select x.nth, r.how, r.xact, r.seq, r.job_id + r.skip as job_id, r.jobs - r.skip as jobs, r.skip,
             r.attempt, pg_current_snapshot() as snap
        into e
        from unnest(lanes) with ordinality x(xact, seq, late_xact, late_seq, served_at, taken, id, priority,
                                             shard, queue, open, draining, part, late_part, nth)
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
      perform from troupe.lane x where x.id = l.id for update skip locked;
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
               late_xact = l.late_xact, late_seq = l.late_seq, late_part = l.late_part, taken = l.taken, served_at = clock_timestamp()
         where x.id in (select y.id from troupe.lane y where y.id = l.id for update skip locked);
      end if;
    end loop;
    exit when job is not null or e is not null; -- or somebody is at it, or there was too much to pass
  end loop;
end $$;

create or replace function troupe.take(p_node bigint, p_queue text, p_limit int, p_slots int default null,
  p_held int default 0)
returns table (lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind
  text, args jsonb, permits int, permits_changed bigint, again boolean, retry jsonb)
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set
enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  candidate int;
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
end    $$;

-- The same of what a transaction has put in itself.
create or replace function troupe.read_lane(p_queue text, p_lane int, p_limit int, p_looks int, out jobs
  bigint[], out attempts smallint[], out keys text[], out fresh text[], out looked int)
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set
enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
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
  update troupe.lane x
     set xact = l.xact, seq = l.seq, part = l.part, open = l.open, draining = l.draining,
         late_xact = l.late_xact, late_seq = l.late_seq, late_part = l.late_part,
         taken = taken + looked, served_at = clock_timestamp()
   where x.id = l.id and (looked > 0 or x.draining <> l.draining or x.open <> l.open);
end   $$;

create or replace function troupe.enqueue_here(p_node bigint, p_kinds text[], p_queues text[], p_args
  jsonb[], p_priorities smallint[], p_max_attempts smallint[], p_timeouts_ms bigint[], p_tags text[],
  p_limit_keys text[], p_retries jsonb[] default null)
returns table (lease bigint, job_id bigint, args jsonb) language plpgsql set plan_cache_mode =
force_generic_plan set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set
enable_bitmapscan = off set jit = off as $$
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
      returning j.id, j.args)
    select lease_id, s.id, s.args from stored s order by s.id;
end  $$;

-- -- making ready ----------------------------------------------------------------------------------

-- Which of these jobs of these queues are heads, and stay it to the end of the transaction.
create function troupe.heads_among(p_queues text[], p_jobs bigint[])
returns bigint[] language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off
set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  return array(select q.head_job from troupe.queue q
                where q.name = any (p_queues) and q.head_job = any (p_jobs) for key share);
end $$;

create or replace function troupe.promote(p_limit int, out moved bigint, out queues text[], out next_due_ms
  bigint)
language plpgsql set plan_cache_mode = force_generic_plan set enable_hashjoin = off set
enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  ids bigint[];
  lanes int[];
  attempts smallint[];
  heads bigint[];
begin
  with due as (
    select d.job_id from troupe.deferred d where d.due_at <= now()
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
    queues := array(select distinct l.queue from troupe.lane l where l.id = any (lanes));
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
  select ceil(extract(epoch from min(d.due_at) - clock_timestamp()) * 1000)::bigint into next_due_ms
    from troupe.deferred d;
end   $$;

create or replace function troupe.rescue(p_node bigint, p_limit interval, out lost bigint, out quarantined
  bigint, out queues text[])
language plpgsql set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set
jit = off as $$
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
end   $$;

create or replace function troupe.retry(p_job bigint)
returns text language plpgsql set enable_hashjoin = off set enable_mergejoin = off set
enable_seqscan = off set jit = off as $$
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
  if found and troupe.heads_among(array[j.queue], array[p_job]) <> '{}' then
    return j.queue; -- it holds its place
  elsif next_attempt is null then
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
  -- One that had ended goes to the end of the line. A node may still have what is left of it.
  update troupe.queue q set head_job = null, head_lease = null, others = q.others || q.head_lease
   where q.name = j.queue and q.head_job = p_job;
  insert into troupe.ready (lane, job_id, attempt)
  values (troupe.lane_for(j.queue, j.priority, p_job), p_job, next_attempt);
  perform troupe.wake(array[j.queue]);
  return j.queue;
end   $$;

create or replace function troupe.replace_job(p_job bigint, p_args jsonb, p_priority smallint,
  p_max_attempts smallint, p_timeout_ms bigint, p_tags text[], p_due timestamptz, p_limit_key text, p_retry
  jsonb)
returns void language plpgsql set enable_hashjoin = off set enable_mergejoin = off set
enable_seqscan = off set jit = off as $$
declare
  old troupe.job;
  current smallint;
  lane_id int;
  is_head boolean;
begin
  select * into old from troupe.job where id = p_job;
  update troupe.job
     set args = p_args, priority = p_priority, max_attempts = coalesce(p_max_attempts, 20),
         timeout_ms = p_timeout_ms, tags = p_tags, run_at = p_due, limit_key = p_limit_key,
         retry = p_retry
   where id = p_job;
  if p_priority <> old.priority then
    perform troupe.open_lanes(array[old.queue], array[p_priority]);
  end if;
  lane_id := troupe.lane_for(old.queue, p_priority, p_job);
  is_head := troupe.heads_among(array[old.queue], array[p_job]) <> '{}';
  if p_due is not null then
    update troupe.deferred set due_at = p_due, lane = lane_id, reason = 1 where job_id = p_job;
    if found then
      return;
    end if;
  else
    delete from troupe.deferred where job_id = p_job returning attempt into current;
    if is_head then
      return; -- it holds its place
    elsif found then
      insert into troupe.ready (lane, job_id, attempt) values (lane_id, p_job, current);
      perform troupe.wake(array[old.queue]);
      return;
    elsif p_priority = old.priority and p_limit_key is not distinct from old.limit_key then
      return; -- the entry is where it should be
    end if;
  end if;
  select coalesce(max(a.attempt), 0) + 1 into current from troupe.attempt a where a.job_id = p_job;
  if is_head then -- it has no entry that could be met
    insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
    values (p_job, p_due, lane_id, current, 1);
    return;
  end if;
  insert into troupe.attempt (job_id, attempt, outcome, reopened, error)
  values (p_job, current, 2, true, 'replaced while it waited');
  insert into troupe.revoked (job_id, attempt, queue, priority)
  values (p_job, current, old.queue, old.priority) on conflict do nothing;
  if p_due is null then
    insert into troupe.ready (lane, job_id, attempt) values (lane_id, p_job, current + 1);
    perform troupe.wake(array[old.queue]);
  else
    insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
    values (p_job, p_due, lane_id, current + 1, 1);
  end if;
end    $$;

-- -- looking ---------------------------------------------------------------------------------------

create or replace function troupe.beat(p_node bigint, p_late_ms float8)
returns table (alive boolean, dead bigint[], cancelled bigint[], leases bigint[], next_due_ms bigint, queues
  text[], paused text[], capped text[], caps int[])
language plpgsql set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set
jit = off as $$
#variable_conflict use_column
begin
  return query
  with old as (
    select id, heartbeat_at from troupe.node where id = p_node and ended_at is null),
  mine as (
    update troupe.node n set heartbeat_at = clock_timestamp() from old
     where n.id = old.id and n.ended_at is null
    returning old.heartbeat_at),
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
         array(select u.i from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
                where l.node = p_node and (select exists (select from troupe.revoked))
                  and exists (select from troupe.revoked v
                               where v.job_id = u.i and v.attempt = u.a offset 0)) as cancelled,
         array(select id from troupe.lease where node = p_node order by id) as leases,
         (select ceil(extract(epoch from min(due_at) - clock_timestamp()) * 1000)::bigint
            from troupe.deferred) as next_due_ms,
         array(select distinct l.queue from troupe.lane l
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
end   $$;

-- Queues that a claim could serve though nothing of them is in a lane.
create or replace function troupe.queues_in_turn()
returns text[] language plpgsql stable set enable_hashjoin = off set enable_mergejoin = off set
enable_seqscan = off set jit = off as $$
begin
  return array(
    select q.name from troupe.queue q
     where (q.key_concurrency is not null or q.key_rate is not null) and q.paused_at is null
       and (exists (select from troupe.key_turn t
                     where t.queue = q.name and t.due_at <= clock_timestamp())
            or exists (select from troupe.key_end e where e.queue = q.name)
               and exists (select from troupe.parked p where p.queue = q.name))
    union all
    select q.name from troupe.queue q
     where q.head_job is not null and q.paused_at is null
       and (troupe.head_state(q.head_job, q.head_lease)).state = 'ready'
       and coalesce(troupe.rate_wait_ms(q.name), 0) = 0);
end  $$;

create or replace function troupe.waiting(p_queue text, p_most int)
returns bigint language plpgsql stable set plan_cache_mode = force_generic_plan set enable_hashjoin
= off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
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
      union all
      select from troupe.queue q
       where q.name = p_queue and q.head_job is not null
         and (troupe.head_state(q.head_job, q.head_lease)).state = 'ready'
       limit p_most) some_of_them);
end   $$;

drop function troupe.list_queues(text, text, int, int);
create function troupe.list_queues(p_only text, p_after text, p_limit int, p_most int)
returns table (name text, paused_at timestamptz, concurrency int, version bigint, changed_at timestamptz,
  waiting bigint, running bigint, rate int, rate_period_ms int, rate_burst int, key_concurrency int,
  key_rate int, key_rate_period_ms int, key_rate_burst int, ordered boolean)
language plpgsql stable set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan =
off set jit = off as $$
#variable_conflict use_column
begin
  return query
  with known as materialized (
    select k.name from (select distinct l.queue as name from troupe.lane l
                        union
                        select q.name from troupe.queue q) k
     where case when p_only is null then k.name > p_after else k.name = p_only end
     order by k.name limit p_limit),
  busy as materialized (
    select j.queue, count(*) as runs
      from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a) join troupe.job j on j.id = u.i
     where not exists (select from troupe.attempt t where t.job_id = u.i and t.attempt = u.a offset 0)
     group by j.queue)
  select k.name, q.paused_at, q.concurrency, coalesce(q.version, 0), q.changed_at,
         troupe.waiting(k.name, p_most),
         coalesce((select b.runs from busy b where b.queue = k.name), 0),
         q.rate, q.rate_period_ms, q.rate_burst,
         q.key_concurrency, q.key_rate, q.key_rate_period_ms, q.key_rate_burst,
         coalesce(q.ordered, false)
    from known k left join troupe.queue q on q.name = k.name
   order by k.name;
end  $$;

drop function troupe.why(bigint);
create function troupe.why(job bigint, out id bigint, out state text, out reason text, out queue text, out
  kind text, out limit_key text, out node text, out since timestamptz, out due_at timestamptz, out allowed
  bigint, out in_use bigint, out ahead bigint, out more_ahead boolean, out nodes int, out error text, out
  holder bigint)
language plpgsql stable set plan_cache_mode = force_generic_plan set enable_hashjoin = off set
enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
declare
  host bigint;    -- node
  its_lease bigint;
  own bigint;     -- permits
  late constant interval := '4 s';   -- of a heartbeat: then the node counts as dead
  gone constant interval := '30 s';
  most constant int := 10000;
  urgency smallint;
  last record;    -- attempt
  later record;   -- of deferred
  q troupe.queue;
  heartbeat timestamptz;
  aside boolean;
  total bigint;
  of_key bigint;
  head record;    -- of its queue, when that is ordered
  behind_head boolean := false;
begin
  select j.id, j.queue, j.kind, j.limit_key, j.priority into id, queue, kind, limit_key, urgency
    from troupe.job j where j.id = why.job;
  if not found then
    raise exception 'there is no job %', job using errcode = 'TR404';
  end if;
  select count(*) filter (where n.heartbeat_at > clock_timestamp() - late), max(n.heartbeat_at)
    into nodes, heartbeat
    from troupe.node n
   where n.ended_at is null and why.queue <> all (n.skips)
     and (n.serves is null or why.queue = any (n.serves));
  more_ahead := false;
  select t.attempt, t.outcome, t.reopened, t.finished_at, t.error into last
    from troupe.attempt t where t.job_id = why.job order by t.attempt desc limit 1;
  select d.due_at, d.reason into later from troupe.deferred d where d.job_id = why.job;
  state := case later.reason when 1 then 'scheduled' when 2 then 'retryable' when 3 then 'scheduled' end;
  if state is null and last.outcome in (1, 2, 3) and not last.reopened then
    state := (array['completed', 'cancelled', 'discarded'])[last.outcome];
    reason := 'finished'; since := last.finished_at; error := last.error;
    return;
  end if;
  select * into q from troupe.queue x where x.name = why.queue;
  if state is null then
    select n.name, l.taken_at, n.id, l.id into node, since, host, its_lease
      from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a), troupe.node n
     where l.jobs @> array[why.job] and u.i = why.job and u.a = coalesce(last.attempt, 0) + 1
       and n.id = l.node
     limit 1;
    if found then
      state := 'running'; reason := 'running';
      if q.concurrency is not null then -- it may have been claimed ahead
        select coalesce(sum(p.permits), 0), sum(p.permits) filter (where p.node = host)
          into total, own
          from troupe.permit p where p.queue = why.queue;
        ahead := troupe.runs_before(host, why.queue, its_lease, why.job) - own;
        if ahead >= 0 then
          reason := 'limit'; allowed := q.concurrency; in_use := total;
        else
          ahead := null;
        end if;
      end if;
      return;
    end if;
    state := 'available';
  else
    due_at := later.due_at; error := last.error;
    if due_at > clock_timestamp() then
      reason := 'time';
      return;
    end if;
  end if;

  if limit_key is not null and (q.key_concurrency is not null or q.key_rate is not null) then
    aside := exists (select from troupe.parked p
                      where p.job_id = why.job and p.attempt = coalesce(last.attempt, 0) + 1);
    of_key := (select count(*) from (
                 select from troupe.parked p
                  where p.queue = why.queue and p.limit_key = why.limit_key
                    and (not aside or (p.priority, p.job_id) < (urgency, why.job))
                    and troupe.still_waits(p.job_id, p.attempt)
                  limit most + 1) x);
    -- What dead nodes ran counts until somebody is there to take it back.
    if q.key_concurrency is not null and nodes > 0 then
      in_use := (
        select coalesce(sum(cardinality(r.jobs) - (
                 select count(distinct i) from troupe.key_end e cross join unnest(e.jobs) u(i)
                  where e.queue = r.queue and e.lease = r.lease and e.node = r.node
                    and i = any (r.jobs))), 0)
          from troupe.key_run r
         where r.queue = why.queue and r.limit_key = why.limit_key
           and not exists (select from troupe.key_end e
                            where e.queue = r.queue and e.lease = r.lease and e.node = r.node
                              and e.jobs is null offset 0));
      if in_use >= q.key_concurrency then
        reason := 'key_limit'; allowed := q.key_concurrency;
      else
        in_use := null;
      end if;
    end if;
    if reason is null and q.key_rate is not null then
      due_at := coalesce((select troupe.allowed_at(p.rate_at, q.key_rate, q.key_rate_period_ms,
                                                   q.key_rate_burst)
                            from troupe.key_pace p
                           where p.queue = why.queue and p.limit_key = why.limit_key), due_at);
      if due_at > clock_timestamp() then
        reason := 'key_rate';
      end if;
    end if;
    if reason is not null then
      ahead := least(of_key, most); more_ahead := of_key > most;
      return;
    end if;
  end if;

  if q.paused_at is not null then
    reason := 'paused'; since := q.paused_at;
    return;
  end if;

  if q.others <> '{}' then
    select u.i, n.name into holder, node
      from troupe.lease l, unnest(l.jobs) u(i), troupe.node n
     where l.id = any (q.others) and n.id = l.node
     order by l.id limit 1;
    if found then
      reason := 'order';
      return;
    end if;
  end if;
  if q.head_job <> why.job then
    select * into head from troupe.head_state(q.head_job, q.head_lease);
    if head.state in ('busy', 'later') then
      reason := 'order'; holder := q.head_job; due_at := coalesce(head.due_at, due_at);
      node := (select n.name from troupe.node n where n.id = head.node);
      return;
    end if;
    behind_head := head.state = 'ready';
  end if;

  if q.concurrency is not null and nodes > 0 then
    total := (select coalesce(sum(p.permits), 0) from troupe.permit p where p.queue = why.queue);
    if total > q.concurrency then -- lowered, and what is too much was not given back yet
      in_use := total;
    elsif total = q.concurrency then
      in_use := (select coalesce(sum(least(p.permits, (
                          select count(*) from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
                            join troupe.job j on j.id = u.i
                           where l.node = p.node and j.queue = why.queue
                             and not exists (select from troupe.attempt t
                                              where t.job_id = u.i and t.attempt = u.a offset 0)))), 0)
                   from troupe.permit p where p.queue = why.queue and p.permits > 0);
    end if;
    if in_use >= q.concurrency then
      reason := 'limit'; allowed := q.concurrency;
      return;
    end if;
    in_use := null;
  end if;

  if q.rate is not null then
    due_at := coalesce(troupe.allowed_at(q.rate_at, q.rate, q.rate_period_ms, q.rate_burst), due_at);
    if due_at > clock_timestamp() then
      reason := 'rate';
      return;
    end if;
  end if;

  if nodes = 0 then
    reason := case when heartbeat > clock_timestamp() - gone then 'lag' else 'no_node' end;
    since := nullif(heartbeat, '-infinity');
    return;
  end if;

  if later.due_at is not null then -- nobody has moved it into its lane yet
    reason := case when later.due_at < clock_timestamp() - late then 'lag' else 'next' end;
    return;
  end if;

  if aside then -- keys take turns, too
    ahead := of_key + (select count(*) from (
                         select from troupe.key_turn t
                          where t.queue = why.queue and t.due_at <= clock_timestamp()
                            and t.turn < (select min(m.turn) from troupe.key_turn m
                                           where m.queue = why.queue and m.limit_key = why.limit_key)
                          limit most + 1) x);
    more_ahead := ahead > most;
  else
    select e.ahead, e.more into ahead, more_ahead
      from troupe.entries_ahead(why.job, (coalesce(last.attempt, 0) + 1)::smallint, why.queue, urgency,
                                most) e;
    ahead := ahead + coalesce(of_key, 0);
    if q.head_job = why.job then
      ahead := 0; more_ahead := false;
    elsif behind_head then
      ahead := ahead + 1;
    end if;
  end if;
  ahead := least(ahead, most);
  reason := case when ahead = 0 then 'next' else 'turn' end;
end  $$;

-- As before, but what waits behind a head that has not ended may not be handed out yet.
create or replace function troupe.sleep_on(p_queues text[], p_again text[], p_awake text[])
returns table (queue text, state smallint) language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
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
      select from troupe.lane l
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
end $$;
