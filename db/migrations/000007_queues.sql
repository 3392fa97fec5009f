-- Queues that are paused, and queues whose runs or whose rate are limited, on all nodes together.
--
-- A limit is kept by permits that are leased to nodes: a node never has more runs of a limited queue at
-- once than it holds permits, and the permits of all nodes together never pass the limit. They are taken
-- by the claim and given back with outcomes, not with each job: a run that ends hands its permit to the
-- next job of the node, and the database is not in between.

-- What somebody has said of a queue. No row: it runs, and nothing limits it. Of its rate: so many jobs in
-- rate_period_ms, of which rate_burst may come at once. rate_at is when the jobs handed out so far would
-- have been due, evenly spread: it runs ahead of the clock by what of the burst is used up.
create table troupe.queue (
  paused_at      timestamptz,
  changed_at     timestamptz not null default now(),
  rate_at        timestamptz,
  version        bigint not null default 1,
  concurrency    int check (concurrency between 1 and 1000000), -- runs at once, on all nodes together
  rate           int check (rate between 1 and 1000000),
  rate_period_ms int check (rate_period_ms between 1 and 86400000),
  rate_burst     int check (rate_burst between 1 and 1000000),
  name           text primary key check (name ~ '^[A-Za-z0-9._:-]{1,128}$'),
  check (rate <= 1000::bigint * rate_period_ms),
  check ((rate is null) = (rate_period_ms is null) and (rate is null) = (rate_burst is null))
) with (fillfactor = 50);

create sequence troupe.permit_change;
-- How many runs a node may have at once. Only the node's own claims and finishes change its row.
create table troupe.permit (
  node      bigint not null,
  changed   bigint not null default nextval('troupe.permit_change'), -- of two answers the later
  wanted_at timestamptz,                       -- when a claim got fewer than it wanted
  permits   int not null check (permits >= 0),
  queue     text not null,
  primary key (queue, node)
) with (fillfactor = 50);
create index permit_node on troupe.permit (node);

create function troupe.drop_permits() returns trigger language plpgsql as $$
begin
  delete from troupe.permit where node = new.id;
  return null;
end $$;
-- However a node's life ends, its permits end with it, in the same transaction.
create trigger drop_permits after update of ended_at on troupe.node
  for each row when (old.ended_at is null and new.ended_at is not null)
  execute function troupe.drop_permits();

-- Claims hold it shared: who pauses a queue waits for those on their way, so that none commits after it.
create function troupe.queue_lock(p_queue text) returns bigint language sql immutable as $$
  select hashtextextended('queue ' || p_queue, 5);
$$;

create function troupe.pause_queue(p_queue text) returns void language plpgsql
set lock_timeout = '2s' as $$
begin
  begin
    perform pg_advisory_xact_lock(troupe.queue_lock(p_queue));
  exception when lock_not_available then
    null; -- a claim in somebody's long transaction: it is all that may still come
  end;
  insert into troupe.queue (name, paused_at) values (p_queue, now())
  on conflict (name) do update
     set paused_at = now(), changed_at = now(), version = queue.version + 1
   where queue.paused_at is null;
end $$;

create function troupe.resume_queue(p_queue text) returns void language sql as $$
  update troupe.queue set paused_at = null, changed_at = now(), version = version + 1
   where name = p_queue and paused_at is not null;
$$;

-- Null: nothing limits it.
create function troupe.limit_queue(p_queue text, p_concurrency int) returns void language sql as $$
  insert into troupe.queue (name, concurrency) values (p_queue, p_concurrency)
  on conflict (name) do update
     set concurrency = p_concurrency, changed_at = now(), version = queue.version + 1
   where queue.concurrency is distinct from p_concurrency;
$$;

-- All null: nothing limits it. What was used up of the old rate is forgotten with it.
create function troupe.rate_queue(p_queue text, p_rate int, p_period_ms int, p_burst int)
returns void language sql as $$
  insert into troupe.queue (name, rate, rate_period_ms, rate_burst)
  values (p_queue, p_rate, p_period_ms, p_burst)
  on conflict (name) do update
     set rate = p_rate, rate_period_ms = p_period_ms, rate_burst = p_burst, rate_at = null,
         changed_at = now(), version = queue.version + 1
   where (queue.rate, queue.rate_period_ms, queue.rate_burst)
         is distinct from (p_rate, p_period_ms, p_burst);
$$;

-- How long until a job of the queue may be handed out; null: it has no rate.
create function troupe.rate_wait_ms(p_queue text) returns bigint language sql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
  select greatest(0, ceil(coalesce(extract(epoch from q.rate_at - clock_timestamp()), 0) * 1000
                          - (q.rate_burst - 1) * q.rate_period_ms::numeric / q.rate)::bigint)
    from troupe.queue q where q.name = p_queue and q.rate is not null;
$$;

-- -- handing out -----------------------------------------------------------------------------------

-- For a claim in a queue of which something was said: how many jobs it may take at most. If its runs are
-- limited, how many permits the node may come to hold, and how many it holds. p_slots: what the node
-- would run at once; p_held: what it has claimed and not finished. Null: it runs whatever it claims.
-- Two claims that want more permits take turns by the queue's row.
create function troupe.permitted_room(
  p_node bigint, p_queue text, p_limit int, p_slots int, p_held int,
  out room int, out most int, out have int)
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  q troupe.queue;
  wish int;
  total bigint;
begin
  select * into q from troupe.queue x where x.name = p_queue;
  room := case when q.paused_at is null then p_limit else 0 end;
  if room = 0 or q.concurrency is null then
    return;
  end if;
  have := coalesce((select p.permits from troupe.permit p
                     where p.queue = p_queue and p.node = p_node), 0);
  wish := case when p_slots is null then have + p_limit else least(p_slots, p_held + p_limit) end;
  if have < wish then
    select * into q from troupe.queue x where x.name = p_queue for update;
  end if;
  select coalesce(sum(p.permits), 0) into total from troupe.permit p where p.queue = p_queue;
  most := greatest(have, least(wish, coalesce(q.concurrency, wish + total) - (total - have)));
  if most < wish then
    insert into troupe.permit as p (queue, node, permits, wanted_at)
    values (p_queue, p_node, 0, clock_timestamp())
    on conflict (queue, node) do update set wanted_at = excluded.wanted_at
     where p.wanted_at is null or p.wanted_at < excluded.wanted_at - interval '0.9 s';
  end if;
  room := case when total > q.concurrency then 0 -- lowered, and what is too much was not given back yet
               when p_slots is null then most - have
               -- Claimed ahead is in proportion to what can run.
               else least(p_limit, (p_limit + p_held)::bigint * most / greatest(p_slots, 1) - p_held)
          end;
end $$;

-- The same, and no more than the rate allows. What is allowed is to start at once, so nothing of a rated
-- queue is claimed ahead. Of two claims one waits for the other at the queue's row.
create function troupe.room_for(
  p_node bigint, p_queue text, p_limit int, p_slots int, p_held int,
  out room int, out most int, out have int)
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  q troupe.queue;
  each numeric; -- milliseconds
  allowed int;
begin
  if exists (select from troupe.queue x where x.name = p_queue and x.rate is not null) then
    select * into q from troupe.queue x where x.name = p_queue for update;
  end if;
  if q.rate is not null and q.paused_at is null then
    each := q.rate_period_ms::numeric / q.rate;
    p_limit := least(p_limit, coalesce(p_slots - p_held, p_limit));
    -- To the microsecond, as the clock goes; what is too little by less is not lost time.
    allowed := floor((q.rate_burst * each + 0.001
             - 1000 * greatest(0, extract(epoch from q.rate_at - clock_timestamp()))) / each);
    if p_limit <= 0 or allowed <= 0 then
      room := 0;
      return;
    end if;
  end if;
  select r.room, r.most, r.have into room, most, have
    from troupe.permitted_room(p_node, p_queue, p_limit, p_slots, p_held) r;
  room := least(room, allowed);
end $$;

-- After a claim for which there was room: what the node holds now, and which change of it that is.
create function troupe.note_permits(
  p_node bigint, p_queue text, p_slots int, p_held int, p_got int, p_most int, p_have int,
  out permits int, out changed bigint)
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  if p_most is null then -- nothing limits the runs, and the node hears so with its jobs
    delete from troupe.permit p where p.queue = p_queue and p.node = p_node;
    return;
  end if;
  insert into troupe.permit as p (queue, node, permits)
  values (p_queue, p_node, case when p_slots is null then p_have + p_got
                                else greatest(p_have, least(p_most, p_held + p_got)) end)
  on conflict (queue, node) do update
     set permits = excluded.permits, changed = nextval('troupe.permit_change')
   where p.permits <> excluded.permits;
  select p.permits, p.changed into permits, changed
    from troupe.permit p where p.queue = p_queue and p.node = p_node;
end $$;

-- The same, and what is used up of the rate.
create function troupe.note_claimed(
  p_node bigint, p_queue text, p_slots int, p_held int, p_got int, p_most int, p_have int,
  out permits int, out changed bigint)
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  update troupe.queue q
     set rate_at = greatest(q.rate_at, clock_timestamp())
                   + make_interval(secs => p_got * (q.rate_period_ms / 1000.0 / q.rate))
   where q.name = p_queue and q.rate is not null;
  select n.permits, n.changed into permits, changed
    from troupe.note_permits(p_node, p_queue, p_slots, p_held, p_got, p_most, p_have) n;
end $$;

-- One batch for a node: locks one lane, reads the log after its cursor, moves the cursor, appends
-- one lease. No rows: nothing to claim in a lane that nobody else is claiming from, or the queue is
-- paused, or its limit is reached. permits is null unless the queue is limited.
drop function troupe.claim(bigint, text, int);
create function troupe.claim(p_node bigint, p_queue text, p_limit int, p_slots int default null,
                             p_held int default 0)
returns table (lease bigint, job_id bigint, attempt smallint, max_attempts smallint,
               timeout_ms bigint, kind text, args jsonb, permits int, permits_changed bigint)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  candidate int;
  said boolean;
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
  said := exists (select from troupe.queue x where x.name = p_queue);
  if said then
    select r.room, r.most, r.have into p_limit, most, have
      from troupe.room_for(p_node, p_queue, p_limit, p_slots, p_held) r;
    if p_limit <= 0 then
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
          from (select * from troupe.ready r
                 where r.lane = l.id and r.xact = any (l.draining)
                   and (r.xact, r.seq) > (l.late_xact, l.late_seq)
                 order by r.xact, r.seq limit p_limit) r;
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
               claim.permits, claim.permits_changed
          from unnest(ids, ats) u(i, a) join troupe.job j on j.id = u.i;
      return;
    end loop;
    exit when not skipped;
  end loop;
end $$;

-- A claim may wait for a lock, and what is lost meanwhile it hands out: stable, this would go by the snapshot
-- from before the wait, tell of no loss, and let the next run begin without a word.
alter function troupe.losses(bigint, smallint) volatile;

-- -- giving back -----------------------------------------------------------------------------------

-- Leaves the node so many permits of each queue, unless they have changed since the change it names;
-- what it holds afterwards, in the order given.
create function troupe.keep_permits(p_node bigint, p_queues text[], p_keep int[], p_changes bigint[],
                                    out permits int[], out changes bigint[])
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  update troupe.permit p
     set permits = least(p.permits, u.keep), changed = nextval('troupe.permit_change'), wanted_at = null
    from unnest(p_queues, p_keep, p_changes) u(queue, keep, changed)
   where p.queue = u.queue and p.node = p_node and p.changed = u.changed;
  select coalesce(array_agg(coalesce(p.permits, 0) order by u.o), '{}'),
         coalesce(array_agg(coalesce(p.changed, 0) order by u.o), '{}')
    into permits, changes
    from unnest(p_queues) with ordinality u(queue, o)
    left join troupe.permit p on p.queue = u.queue and p.node = p_node;
end $$;

-- The engine gives permits back itself. Who finishes by SQL keeps one for each job that it has left.
alter function troupe.finish(bigint, bigint[], bigint[], boolean, bigint[], bigint[], smallint[],
  smallint[], bigint[], bigint[], jsonb[], text[], bigint[]) rename to write_outcomes;
create function troupe.finish(
  p_node bigint, p_done bigint[], p_held bigint[], p_plain boolean,
  p_leases bigint[], p_jobs bigint[], p_attempts smallint[], p_outcomes smallint[],
  p_started_ago_ms bigint[], p_finished_ago_ms bigint[], p_results jsonb[], p_errors text[],
  p_retry_ms bigint[], out fenced bigint[], out deferred bigint)
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  select w.fenced, w.deferred into fenced, deferred
    from troupe.write_outcomes(p_node, p_done, p_held, p_plain, p_leases, p_jobs, p_attempts, p_outcomes,
                               p_started_ago_ms, p_finished_ago_ms, p_results, p_errors, p_retry_ms) w;
  -- In an order that all share.
  perform from troupe.permit p where p.node = p_node and p.permits > 0 order by p.queue for update;
  if found then
    update troupe.permit p set permits = left_over.runs, changed = nextval('troupe.permit_change')
      from (select o.queue, (select count(*) from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
                               join troupe.job j on j.id = u.i
                              where l.node = p_node and j.queue = o.queue
                                and not exists (select from troupe.attempt t
                                                 where t.job_id = u.i and t.attempt = u.a)) as runs
              from troupe.permit o where o.node = p_node and o.permits > 0) left_over
     where p.node = p_node and p.queue = left_over.queue and p.permits > left_over.runs;
  end if;
end $$;

-- -- looking ---------------------------------------------------------------------------------------

-- How many jobs of a queue may run and were not handed out yet; counted up to p_most.
create function troupe.waiting(p_queue text, p_most int) returns bigint language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  return (
    select count(*) from (
      select from troupe.lane l cross join lateral (
          select r.job_id, r.attempt from troupe.ready r
           where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq)
          union all
          select r.job_id, r.attempt from troupe.ready r where r.lane = l.id and r.xact = any (l.open)
          union all
          select r.job_id, r.attempt from troupe.ready r
           where r.lane = l.id and r.xact = any (l.draining)
             and (r.xact, r.seq) > (l.late_xact, l.late_seq)) e
       where l.queue = p_queue
         and not exists (select from troupe.revoked v
                          where v.job_id = e.job_id and v.attempt = e.attempt offset 0)
       limit p_most) some_of_them);
end $$;

-- Queues in order of their names, after one or only that of one name.
create function troupe.list_queues(p_only text, p_after text, p_limit int, p_most int)
returns table (name text, paused_at timestamptz, concurrency int, version bigint, changed_at timestamptz,
               waiting bigint, running bigint, rate int, rate_period_ms int, rate_burst int)
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
  busy as materialized (
    select j.queue, count(*) as runs
      from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a) join troupe.job j on j.id = u.i
     where not exists (select from troupe.attempt t where t.job_id = u.i and t.attempt = u.a offset 0)
     group by j.queue)
  select k.name, q.paused_at, q.concurrency, coalesce(q.version, 0), q.changed_at,
         troupe.waiting(k.name, p_most),
         coalesce((select b.runs from busy b where b.queue = k.name), 0),
         q.rate, q.rate_period_ms, q.rate_burst
    from known k left join troupe.queue q on q.name = k.name
   order by k.name;
end $$;

-- Heartbeat, and what happened meanwhile. Others are declared dead only when this node's own last beat
-- is fresh: after a stall of the database everybody looks dead for a moment. A node keeps at most caps
-- of the permits of capped: other nodes want some, or the limit was lowered. Queues whose rate is used up
-- are not named: whoever found that out has a timer.
drop function troupe.beat(bigint, double precision);
create function troupe.beat(p_node bigint, p_late_ms double precision)
returns table (alive boolean, dead bigint[], cancelled bigint[], leases bigint[], next_due_ms bigint,
               queues text[], paused text[], capped text[], caps int[])
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
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
         array(select v.job_id from troupe.revoked v
                where exists (select from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
                               where l.node = p_node and l.jobs @> array[v.job_id]
                                 and u.i = v.job_id and u.a = v.attempt)) as cancelled,
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
                                             and troupe.rate_wait_ms(q.name) > 0))) as queues,
         array(select q.name from troupe.queue q where q.paused_at is not null) as paused,
         array(select s.queue from share s order by s.queue) as capped,
         array(select s.most from share s order by s.queue) as caps;
end $$;
