-- When millions of waiting jobs are cancelled, moved or deleted at once, as many entries stay in the lanes
-- with as many revocations: nobody may look through all of these where few would do.

-- As in 000007, but what was cancelled is looked up from the runs of the node.
create or replace function troupe.beat(p_node bigint, p_late_ms double precision)
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
                                             and troupe.rate_wait_ms(q.name) > 0))) as queues,
         array(select q.name from troupe.queue q where q.paused_at is not null) as paused,
         array(select s.queue from share s order by s.queue) as capped,
         array(select s.most from share s order by s.queue) as caps;
end $$;

-- As in 000006, with the same change.
create or replace function troupe.heartbeat(node bigint, out alive boolean, out cancelled bigint[])
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  update troupe.node n set heartbeat_at = clock_timestamp()
   where n.id = heartbeat.node and n.ended_at is null;
  alive := found;
  cancelled := array(
    select u.i from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
     where l.node = heartbeat.node and (select exists (select from troupe.revoked))
       and exists (select from troupe.revoked v where v.job_id = u.i and v.attempt = u.a offset 0));
end $$;

-- As in 000001, but lanes and leases are looked at once, and not once for each revocation.
create or replace function troupe.upkeep(out partitions_made int, out revocations_dropped bigint)
language plpgsql
set enable_hashjoin = on set enable_nestloop = off set enable_mergejoin = off set enable_seqscan = off
set jit = off as $$
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
      from troupe.lane l),
  -- A cancel that is told to a runner by its heartbeat needs its row until the lease is gone.
  leased as materialized (select u.i from troupe.lease e, unnest(e.jobs) u(i))
  delete from troupe.revoked v
   where not exists (select from pair p
                      where p.queue = v.queue and p.priority = v.priority
                        and (p.open or p.oldest <= v.xact))
     and not exists (select from leased x where x.i = v.job_id);
  get diagnostics revocations_dropped = row_count;
end $$;

-- As in 000012, but a claim that met nothing but revoked entries ends after some, and says that it is to
-- be asked again: it would take longer than a statement may, and give up all that it had passed.
create or replace function troupe.take(p_node bigint, p_queue text, p_limit int, p_slots int default null,
                                       p_held int default 0)
returns table (lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint,
               kind text, args jsonb, permits int, permits_changed bigint, again boolean)
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
  looks int := 10000; -- revoked entries in one claim, or rounds for a hundredth of it
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
          looks := looks - greatest(got, 100);
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
    if looks <= 0 then
      again := true;
      return next;
      return;
    end if;
  end loop;
end $$;
