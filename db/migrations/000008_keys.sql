-- Limits per key: how many jobs of one limit_key of a queue run at once, and how many in a time, on all
-- nodes together. A job whose key is full is set aside until it is its key's turn.
--
-- Claims of a queue with such limits take turns by the queue's row, and nobody else writes key_run,
-- parked, key_turn and key_pace: what one claim counts no other changes. Whoever ends runs waits for
-- nobody: it appends to key_end, and a claim takes that off key_run. What a claim does not see yet it
-- counts as running. A key with parked jobs is full by key_run, or noted in key_turn, at every commit.

alter table troupe.queue
  add column parked_served_at timestamptz not null default '-infinity', -- as a lane's
  add column key_concurrency int check (key_concurrency between 1 and 1000000),
  add column key_rate int check (key_rate between 1 and 1000000),
  add column key_rate_period_ms int check (key_rate_period_ms between 1 and 86400000),
  add column key_rate_burst int check (key_rate_burst between 1 and 1000000),
  add check (key_rate <= 1000::bigint * key_rate_period_ms),
  add check ((key_rate is null) = (key_rate_period_ms is null)
             and (key_rate is null) = (key_rate_burst is null));

-- Jobs handed out and not ended, of each lease and key: those that the key's limit counts.
create table troupe.key_run (
  lease     bigint not null,
  node      bigint not null,
  queue     text not null,
  limit_key text collate "C" not null,
  jobs      bigint[] not null,
  primary key (queue, limit_key, lease)
) with (fillfactor = 70);
create index key_run_lease on troupe.key_run (node, lease);

-- Of those, what has ended since.
create table troupe.key_end (
  id    bigint generated always as identity,
  node  bigint not null,
  lease bigint not null,
  queue text not null,
  jobs  bigint[],                              -- null: the whole lease
  primary key (queue, lease, id)
);

-- Jobs that a claim has met and set aside. Available to everybody who looks; one that was cancelled or
-- deleted meanwhile is dropped when its turn comes.
create table troupe.parked (
  job_id    bigint not null,
  attempt   smallint not null,
  priority  smallint not null,
  queue     text not null,
  limit_key text collate "C" not null,
  primary key (queue, limit_key, priority, job_id, attempt)
);
create index parked_job on troupe.parked (job_id);

-- Keys to be looked at, in the order of their turns; some not before their rate allows it.
create table troupe.key_turn (
  due_at    timestamptz not null default '-infinity',
  turn      bigint generated always as identity,
  queue     text not null,
  limit_key text collate "C" not null,
  primary key (queue, due_at, turn)
);
create index key_turn_due on troupe.key_turn (queue, limit_key) where due_at > '-infinity';

-- When the jobs of a key handed out so far would have been due, evenly spread, as queue.rate_at.
create table troupe.key_pace (
  rate_at   timestamptz not null,
  queue     text not null,
  limit_key text collate "C" not null,
  primary key (queue, limit_key)
) with (fillfactor = 70);

-- -- counting --------------------------------------------------------------------------------------

-- Is this attempt of the job still to be run?
create function troupe.still_waits(p_job bigint, p_attempt smallint) returns boolean language plpgsql stable
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  return exists (select from troupe.job j where j.id = p_job)
     and not exists (select from troupe.attempt t where t.job_id = p_job and t.attempt = p_attempt);
end $$;

-- How many jobs of each of these keys may be handed out now. p_new: those that come now go behind those
-- that wait, and -1 says that there are some.
create function troupe.key_rooms(p_queue text, p_keys text[], p_new boolean) returns int[] language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  q troupe.queue;
  each numeric; -- milliseconds
begin
  select * into q from troupe.queue x where x.name = p_queue;
  each := q.key_rate_period_ms::numeric / q.key_rate;
  return (
    select array_agg(
             case when p_new and exists (select from troupe.parked p
                                          where p.queue = p_queue and p.limit_key = u.k) then -1
                  else greatest(0, least(
                    q.key_concurrency - (select coalesce(sum(cardinality(r.jobs)), 0) from troupe.key_run r
                                          where r.queue = p_queue and r.limit_key = u.k),
                    case when q.key_rate is not null then
                      floor((q.key_rate_burst * each + 0.001 - 1000 * greatest(0, coalesce((
                               select extract(epoch from x.rate_at - clock_timestamp())
                                 from troupe.key_pace x
                                where x.queue = p_queue and x.limit_key = u.k), 0))) / each) end))::int end
             order by u.o)
      from unnest(p_keys) with ordinality u(k, o));
end $$;

-- Notes those of these keys that have parked jobs and are not full.
create function troupe.note_keys(p_queue text, p_keys text[]) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  q troupe.queue;
begin
  select * into q from troupe.queue x where x.name = p_queue;
  insert into troupe.key_turn (queue, limit_key, due_at)
  select p_queue, w.k, case when w.due > clock_timestamp() then w.due else '-infinity' end
    from (select u.k, u.o,
                 (select x.rate_at - make_interval(secs => (q.key_rate_burst - 1)
                                                           * (q.key_rate_period_ms / 1000.0 / q.key_rate))
                    from troupe.key_pace x where x.queue = p_queue and x.limit_key = u.k) as due
            from (select k, min(o) as o from unnest(p_keys) with ordinality g(k, o) group by k) u
           where exists (select from troupe.parked p where p.queue = p_queue and p.limit_key = u.k)
             and (q.key_concurrency is null
                  or q.key_concurrency > (select coalesce(sum(cardinality(r.jobs)), 0)
                                            from troupe.key_run r
                                           where r.queue = p_queue and r.limit_key = u.k))) w
   where w.due is null or w.due <= clock_timestamp()
      or not exists (select from troupe.key_turn t
                      where t.queue = p_queue and t.limit_key = w.k and t.due_at > '-infinity')
   order by w.o;
end $$;

-- Takes off key_run what has ended: whole leases, and with p_all single runs, too. The caller has the
-- queue's row.
create function troupe.fold_keys(p_queue text, p_all boolean) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  freed text[];
  fewer_of text[];
begin
  with over as materialized (
    select e.node, e.lease from troupe.key_end e where e.queue = p_queue and e.jobs is null),
  gone as (
    delete from troupe.key_run k using over o
     where k.node = o.node and k.lease = o.lease and k.queue = p_queue
    returning k.limit_key),
  used as (
    delete from troupe.key_end e using over o where e.queue = p_queue and e.lease = o.lease)
  select array_agg(distinct g.limit_key) into freed from gone g;
  if p_all then
    with given as materialized (
      select e.id, e.node, e.lease, e.jobs from troupe.key_end e
       where e.queue = p_queue and e.jobs is not null),
    ended as materialized (
      select distinct g.lease, j from given g cross join unnest(g.jobs) j),
    fewer as materialized (
      select k.limit_key, k.lease, array_agg(r.id) filter (where e.j is null) as jobs
        from (select distinct node, lease from given) l
        join troupe.key_run k on k.node = l.node and k.lease = l.lease and k.queue = p_queue
        cross join unnest(k.jobs) r(id)
        left join ended e on e.lease = k.lease and e.j = r.id
       group by k.limit_key, k.lease
      having count(e.j) > 0),
    changed as (
      update troupe.key_run k set jobs = f.jobs from fewer f
       where f.jobs is not null
         and k.queue = p_queue and k.limit_key = f.limit_key and k.lease = f.lease),
    gone as (
      delete from troupe.key_run k using fewer f
       where f.jobs is null and k.queue = p_queue and k.limit_key = f.limit_key and k.lease = f.lease),
    used as (
      delete from troupe.key_end e using given g
       where e.queue = p_queue and e.lease = g.lease and e.id = g.id)
    select array_agg(distinct f.limit_key) into fewer_of from fewer f;
    freed := freed || fewer_of;
  end if;
  if freed <> '{}' and exists (select from troupe.parked p where p.queue = p_queue) then
    perform troupe.note_keys(p_queue, freed);
  end if;
end $$;

-- Until a job of the queue may be handed out, as far as rates tell; null: it has none.
create function troupe.claim_wait_ms(p_queue text) returns bigint language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  q troupe.queue;
  wait bigint;
begin
  select * into q from troupe.queue x where x.name = p_queue;
  if q.rate is not null then
    wait := troupe.rate_wait_ms(p_queue);
  end if;
  if q.key_rate is not null and coalesce(wait, 0) = 0 then
    wait := coalesce((select greatest(0, ceil(extract(epoch from t.due_at - clock_timestamp()) * 1000))
                        from troupe.key_turn t
                       where t.queue = p_queue and t.due_at > '-infinity'
                       order by t.due_at limit 1), 0);
  end if;
  return wait;
end $$;

-- -- setting ---------------------------------------------------------------------------------------

-- Until the transaction ends nothing of the queue is handed out, and what was is committed.
create function troupe.stop_claims(p_queue text) returns void language plpgsql
set lock_timeout = '2s' as $$
begin
  perform pg_advisory_xact_lock(troupe.queue_lock(p_queue));
exception when lock_not_available then
  raise exception 'a long transaction is claiming from queue "%"; try again later', p_queue
    using errcode = 'TR409';
end $$;

-- After the limits of a queue's keys have changed, and before that p_before said whether there were some.
create function troupe.keys_changed(p_queue text, p_before boolean) returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off
set lock_timeout = '2s' as $$
declare
  now_limited boolean;
begin
  select x.key_concurrency is not null or x.key_rate is not null into now_limited
    from troupe.queue x where x.name = p_queue;
  delete from troupe.key_turn where queue = p_queue;
  if p_before and not coalesce(now_limited, false) then
    insert into troupe.ready (lane, job_id, attempt)
    select troupe.lane_for(p_queue, p.priority, p.job_id), p.job_id, p.attempt
      from troupe.parked p
     where p.queue = p_queue and troupe.still_waits(p.job_id, p.attempt)
     order by p.priority, p.job_id;
    delete from troupe.parked where queue = p_queue;
    delete from troupe.key_pace where queue = p_queue;
    delete from troupe.key_run where queue = p_queue;
    delete from troupe.key_end where queue = p_queue;
  elsif now_limited and not coalesce(p_before, false) then
    -- What runs already counts from now on. Who ends runs holds their leases, and looks into key_run
    -- afterwards.
    begin
      perform from troupe.lease l
        where exists (select from unnest(l.jobs) u(i) join troupe.job j on j.id = u.i
                       where j.queue = p_queue and j.limit_key is not null)
        order by l.id for update;
    exception when lock_not_available then
      raise exception 'a long transaction is ending jobs of queue "%"; try again later', p_queue
        using errcode = 'TR409';
    end;
    insert into troupe.key_run (lease, node, queue, limit_key, jobs)
    select l.id, l.node, p_queue, j.limit_key, array_agg(j.id)
      from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a) join troupe.job j on j.id = u.i
     where j.queue = p_queue and j.limit_key is not null
       and not exists (select from troupe.attempt t -- a cancelled one may run on: its node has yet to end it
                        where t.job_id = u.i and t.attempt = u.a and t.outcome <> 2)
     group by l.id, l.node, j.limit_key;
  elsif now_limited then
    perform troupe.note_keys(p_queue, array(select distinct p.limit_key from troupe.parked p
                                             where p.queue = p_queue order by p.limit_key));
  end if;
end $$;

-- How many jobs of each key of the queue run at once, on all nodes together. Null: nothing limits them.
create function troupe.limit_keys(p_queue text, p_concurrency int) returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  before boolean;
begin
  perform troupe.stop_claims(p_queue);
  select x.key_concurrency is not null or x.key_rate is not null into before
    from troupe.queue x where x.name = p_queue;
  insert into troupe.queue (name, key_concurrency) values (p_queue, p_concurrency)
  on conflict (name) do update
     set key_concurrency = p_concurrency, changed_at = now(), version = queue.version + 1
   where queue.key_concurrency is distinct from p_concurrency;
  if found then
    perform troupe.keys_changed(p_queue, before);
  end if;
end $$;

-- The rate of each key of the queue. All null: there is none. What was used up of the old one is
-- forgotten with it.
create function troupe.rate_keys(p_queue text, p_rate int, p_period_ms int, p_burst int)
returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  before boolean;
begin
  perform troupe.stop_claims(p_queue);
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
end $$;

-- -- handing out -----------------------------------------------------------------------------------

-- The parked jobs whose turn it is: of the best priority among them, one of each key before the second
-- of any. Looks at some of the keys that are noted; those that turn out to have nothing to offer lose
-- their note, or get one with a time. many: there may be more of them. The rest is of each note.
create function troupe.offer_parked(p_queue text, p_limit int, out best smallint, out jobs bigint[],
                                    out attempts smallint[], out keys text[], out many boolean,
                                    out dues timestamptz[], out turns bigint[], out names text[])
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  window_size constant int := 200 + p_limit;
  noted text[];    -- without those that are there twice
  rooms int[];
  offering text[];
  fruitless text[];
begin
  select array_agg(w.due_at), array_agg(w.turn), array_agg(w.limit_key), count(*) >= window_size
    into dues, turns, names, many
    from ((select * from troupe.key_turn t where t.queue = p_queue and t.due_at = '-infinity'
            order by t.turn limit window_size)
          union all
          (select * from troupe.key_turn t
            where t.queue = p_queue and t.due_at > '-infinity' and t.due_at <= clock_timestamp()
            order by t.due_at limit window_size)) w;
  if names is null then
    return;
  end if;
  if not exists (select from troupe.parked p where p.queue = p_queue) then
    delete from troupe.key_turn t using unnest(dues, turns) w(due_at, turn)
     where t.queue = p_queue and t.due_at = w.due_at and t.turn = w.turn;
    return;
  end if;
  noted := array(select n from unnest(names, turns) u(n, t) group by n order by min(t));
  rooms := troupe.key_rooms(p_queue, noted, false);
  with heads as materialized (
    select n.o, n.k, n.room, p.job_id, p.attempt, p.priority,
           troupe.still_waits(p.job_id, p.attempt) as alive
      from unnest(noted, rooms) with ordinality n(k, room, o)
      cross join lateral (
        select * from troupe.parked x where x.queue = p_queue and x.limit_key = n.k
         order by x.priority, x.job_id limit least(n.room, p_limit) + 50) p
     where n.room > 0),
  dropped as (
    delete from troupe.parked p using heads h
     where not h.alive and p.queue = p_queue and p.limit_key = h.k and p.priority = h.priority
       and p.job_id = h.job_id and p.attempt = h.attempt),
  ranked as materialized (
    select h.*, row_number() over (partition by h.k order by h.priority, h.job_id) as nth
      from heads h where h.alive),
  chosen as materialized (
    select r.* from ranked r
     where r.nth <= r.room and r.priority = (select min(x.priority) from ranked x)
     order by r.nth, r.o limit p_limit)
  select min(c.priority), array_agg(c.job_id order by c.nth, c.o), array_agg(c.attempt order by c.nth, c.o),
         array_agg(c.k order by c.nth, c.o), array(select distinct r.k from ranked r)
    into best, jobs, attempts, keys, offering
    from chosen c;
  fruitless := array(select n from unnest(noted) n where n <> all (offering));
  if fruitless <> '{}' then
    delete from troupe.key_turn t using unnest(dues, turns, names) w(due_at, turn, name)
     where t.queue = p_queue and t.due_at = w.due_at and t.turn = w.turn and w.name = any (fruitless);
    perform troupe.note_keys(p_queue, fruitless);
  end if;
end $$;

-- Takes offered jobs out, but for those that somebody is cancelling, replacing or deleting now. The notes
-- of their keys go; the caller makes new ones.
create function troupe.unpark(
  p_queue text, p_priority smallint, p_dues timestamptz[], p_turns bigint[], p_names text[],
  inout jobs bigint[], inout attempts smallint[], inout keys text[])
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  held bigint[];
begin
  delete from troupe.key_turn t using unnest(p_dues, p_turns, p_names) w(due_at, turn, name)
   where t.queue = p_queue and t.due_at = w.due_at and t.turn = w.turn and w.name = any (unpark.keys);
  held := array(select j.id from troupe.job j where j.id = any (unpark.jobs) order by j.id
                  for key share skip locked);
  -- A statement of its own, to see what was done before they were held.
  with gone as (
    delete from troupe.parked p using unnest(unpark.jobs, unpark.attempts, unpark.keys)
                                        with ordinality u(i, a, k, o)
     where u.i = any (held) and troupe.still_waits(u.i, u.a)
       and p.queue = p_queue and p.limit_key = u.k and p.priority = p_priority and p.job_id = u.i
       and p.attempt = u.a
    returning u.i, u.a, u.k, u.o)
  select coalesce(array_agg(g.i order by g.o), '{}'), coalesce(array_agg(g.a order by g.o), '{}'),
         coalesce(array_agg(g.k order by g.o), '{}')
    into jobs, attempts, keys
    from gone g;
end $$;

-- Which of these entries of a lane are handed out, at most p_room of them; the others are parked. What is
-- behind the cut was not needed. fresh: keys of which nothing was parked before.
create function troupe.sort_entries(
  p_queue text, p_priority smallint, p_jobs bigint[], p_attempts smallint[], p_room int,
  out cut int, out jobs bigint[], out attempts smallint[], out keys text[], out fresh text[])
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  names text[];
  counts bigint[];
  rooms int[];
begin
  keys := array(select j.limit_key from unnest(p_jobs) with ordinality u(i, o)
                  left join troupe.job j on j.id = u.i order by u.o);
  fresh := '{}';
  select array_agg(x.k), array_agg(x.n) into names, counts
    from (select k, count(*) as n from unnest(keys) k where k is not null group by k) x;
  rooms := troupe.key_rooms(p_queue, names, true);
  if exists (select from unnest(counts, rooms) u(n, r) where u.n > u.r)
     and exists (select from troupe.key_end e where e.queue = p_queue) then
    perform troupe.fold_keys(p_queue, true);
    rooms := troupe.key_rooms(p_queue, names, true);
  end if;
  if cardinality(p_jobs) <= p_room and not exists (select from troupe.revoked)
     and not exists (select from unnest(counts, rooms) u(n, r) where u.n > u.r) then
    cut := cardinality(p_jobs); jobs := p_jobs; attempts := p_attempts;
    return;
  end if;
  with seen as materialized (
    select u.o, u.i, u.a, u.k, exists (select from troupe.revoked v
                                        where v.job_id = u.i and v.attempt = u.a) as gone
      from unnest(p_jobs, p_attempts, keys) with ordinality u(i, a, k, o)),
  rooms_of as materialized (select * from unnest(names, rooms) r(k, room)),
  ranked as (
    select s.*, row_number() over (partition by s.k, s.gone order by s.o) as nth from seen s),
  fitting as (
    select r.*, x.room, not r.gone and (r.k is null or r.nth <= x.room) as fits
      from ranked r left join rooms_of x on x.k = r.k),
  counted as (
    select f.*, count(*) filter (where f.fits) over (order by f.o) as upto from fitting f),
  passed as materialized (
    select * from counted c where c.upto - c.fits::int < p_room),
  kept as (
    insert into troupe.parked (queue, limit_key, priority, job_id, attempt)
    select p_queue, p.k, p_priority, p.i, p.a from passed p where not p.fits and not p.gone
    on conflict do nothing),
  forgotten as (
    delete from troupe.revoked v using passed p
     where p.gone and v.job_id = p.i and v.attempt = p.a)
  select max(p.o), coalesce(array_agg(p.i order by p.o) filter (where p.fits), '{}'),
         coalesce(array_agg(p.a order by p.o) filter (where p.fits), '{}'),
         coalesce(array_agg(p.k order by p.o) filter (where p.fits), '{}'),
         coalesce(array_agg(distinct p.k) filter (where not p.fits and not p.gone and p.room >= 0), '{}')
    into cut, jobs, attempts, keys, fresh
    from passed p;
end $$;

-- As the claim below, from one lane, with the entries sorted: at most p_looks of them are looked at.
create function troupe.read_lane(
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
        from (select * from troupe.ready r
               where r.lane = l.id and r.xact = any (l.draining)
                 and (r.xact, r.seq) > (l.late_xact, l.late_seq)
               order by r.xact, r.seq limit wanted) r;
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

-- The claim in a queue whose keys are limited; its row is held. Parked jobs whose turn it is are served
-- as if they lay in a lane of their priority. Looks at so many entries at most; `again` says that there
-- may be more behind them.
create function troupe.take_keyed(p_node bigint, p_queue text, p_limit int, p_slots int, p_held int,
                                  p_most int, p_have int)
returns table (lease bigint, job_id bigint, attempt smallint, max_attempts smallint,
               timeout_ms bigint, kind text, args jsonb, permits int, permits_changed bigint, again boolean)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
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
      select x.id, x.priority, x.served_at from troupe.lane x where x.queue = p_queue
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
      else
        select * into part from troupe.read_lane(p_queue, candidate.id, p_limit, looks);
        looks := looks - part.looked;
        ids := part.jobs; ats := part.attempts; names := part.keys;
        touched := touched || part.fresh;
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
  return query
    select lease_id, j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args,
           take_keyed.permits, take_keyed.permits_changed, true
      from unnest(ids, ats) u(i, a) join troupe.job j on j.id = u.i;
end $$;

-- One batch for a node: locks one lane, reads the log after its cursor, moves the cursor, appends
-- one lease. No rows: nothing to claim in a lane that nobody else is claiming from, or the queue is
-- paused, or its limit is reached. permits is null unless the queue is limited, and again unless its keys
-- are: then a row without a lease says that there was nothing, and again whether to ask on at once.
create function troupe.take(p_node bigint, p_queue text, p_limit int, p_slots int default null,
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
               take.permits, take.permits_changed, null::boolean
          from unnest(ids, ats) u(i, a) join troupe.job j on j.id = u.i;
      return;
    end loop;
    exit when not skipped;
  end loop;
end $$;

create or replace function troupe.claim(p_node bigint, p_queue text, p_limit int, p_slots int default null,
                                        p_held int default 0)
returns table (lease bigint, job_id bigint, attempt smallint, max_attempts smallint,
               timeout_ms bigint, kind text, args jsonb, permits int, permits_changed bigint)
language plpgsql as $$
begin
  return query
  select t.lease, t.job_id, t.attempt, t.max_attempts, t.timeout_ms, t.kind, t.args, t.permits,
         t.permits_changed
    from troupe.take(p_node, p_queue, p_limit, p_slots, p_held) t where t.lease is not null;
end $$;

-- Queues with keys whose turn has come.
create function troupe.queues_in_turn() returns text[] language plpgsql stable
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  return array(
    select q.name from troupe.queue q
     where (q.key_concurrency is not null or q.key_rate is not null) and q.paused_at is null
       and (exists (select from troupe.key_turn t
                     where t.queue = q.name and t.due_at <= clock_timestamp())
            or exists (select from troupe.key_end e where e.queue = q.name)
               and exists (select from troupe.parked p where p.queue = q.name)));
end $$;

-- -- giving back -----------------------------------------------------------------------------------

-- Runs that a node has ended, one by one or with their leases, whether or not their outcomes were written.
create function troupe.free_keys(p_node bigint, p_done bigint[], p_leases bigint[], p_jobs bigint[])
returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  insert into troupe.key_end (queue, node, lease, jobs)
  select k.queue, p_node, x.l, x.jobs
    from (select d.l, null::bigint[] as jobs from unnest(p_done) d(l)
          union all
          select u.l, array_agg(u.i) from unnest(p_leases, p_jobs) u(l, i)
           where u.l <> all (p_done) group by u.l) x
    cross join lateral (select r.queue from troupe.key_run r where r.node = p_node and r.lease = x.l
                         limit 1) k;
end $$;

create function troupe.has_key_limits(p_queue text) returns boolean language sql stable as $$
  select exists (select from troupe.queue q
                  where q.name = p_queue
                    and (q.key_concurrency is not null or q.key_rate is not null));
$$;

alter function troupe.write_outcomes(bigint, bigint[], bigint[], boolean, bigint[], bigint[], smallint[],
  smallint[], bigint[], bigint[], jsonb[], text[], bigint[]) rename to store_outcomes;
create function troupe.write_outcomes(
  p_node bigint, p_done bigint[], p_held bigint[], p_plain boolean,
  p_leases bigint[], p_jobs bigint[], p_attempts smallint[], p_outcomes smallint[],
  p_started_ago_ms bigint[], p_finished_ago_ms bigint[], p_results jsonb[], p_errors text[],
  p_retry_ms bigint[], out fenced bigint[], out deferred bigint)
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  select w.fenced, w.deferred into fenced, deferred
    from troupe.store_outcomes(p_node, p_done, p_held, p_plain, p_leases, p_jobs, p_attempts, p_outcomes,
                               p_started_ago_ms, p_finished_ago_ms, p_results, p_errors, p_retry_ms) w;
  if exists (select from troupe.key_run k where k.node = p_node) then
    perform troupe.free_keys(p_node, p_done, p_leases, p_jobs);
  end if;
end $$;

-- However a node's life ends, its runs end with it, in the same transaction.
create function troupe.free_keys_of_node() returns trigger language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  insert into troupe.key_end (queue, node, lease)
  select distinct k.queue, k.node, k.lease from troupe.key_run k where k.node = new.id;
  return null;
end $$;
create trigger free_keys after update of ended_at on troupe.node
  for each row when (old.ended_at is null and new.ended_at is not null)
  execute function troupe.free_keys_of_node();

-- Drops paces that lie in the past, which are as good as none, some in each round, and ends of runs that
-- nobody counts any more.
create function troupe.tidy_keys() returns void language sql
set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
  delete from troupe.key_pace p
   where (p.queue, p.limit_key) in (select x.queue, x.limit_key from troupe.key_pace x
                                     where x.rate_at < now() - interval '1 minute'
                                     limit 20000 for update skip locked);
  delete from troupe.key_end e where not troupe.has_key_limits(e.queue);
$$;

-- After a logical restore the stored transaction ids can lie ahead of this server's: new entries
-- would sort behind the cursor and never be handed out. Moves all that still waits to the beginning.
-- Cursors cannot say what that is: jobs may have come by SQL since the restore. The outcomes can.
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
  delete from troupe.ready r using (
      select e.*, row_number() over (partition by e.job_id, e.attempt order by e.seq desc) as nth
        from troupe.ready e) e
   where (r.lane, r.xact, r.seq) = (e.lane, e.xact, e.seq)
     and (e.nth > 1 -- a snoozed run has several
          or not exists (select from troupe.job j where j.id = e.job_id)
          or exists (select from troupe.attempt t where t.job_id = e.job_id and t.attempt = e.attempt)
          or exists (select from troupe.parked p where p.job_id = e.job_id and p.attempt = e.attempt)
          or exists (select from troupe.deferred d where d.job_id = e.job_id and d.attempt = e.attempt)
          or (e.job_id, e.attempt) in (select u.i, u.a
                                         from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)));
  update troupe.ready set xact = '1';
  update troupe.revoked set xact = '1';
  update troupe.lane set xact = '0', seq = 0, open = '{}', draining = '{}', late_xact = '0', late_seq = 0;
  return true;
end $$;

-- -- looking ---------------------------------------------------------------------------------------

-- Of a job that a list or troupe.get_job shows.
create function troupe.limit_key_of(p_job bigint) returns text language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_bitmapscan = off set enable_hashjoin = off
set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  return (select j.limit_key from troupe.job j where j.id = p_job);
end $$;

create or replace view troupe.jobs as
select j.id, j.queue, j.kind, j.priority,
       case when d.job_id is not null
              then case d.reason when 2 then 'retryable' else 'scheduled' end
            when a.outcome in (1, 2, 3) and not a.reopened
              then (array['completed', 'cancelled', 'discarded'])[a.outcome]
            when (j.id, (coalesce(a.attempt, 0) + 1)::smallint)
                 in (select u.i, u.n from troupe.lease l, unnest(l.jobs, l.attempts) u(i, n))
              then 'running'
            else 'available' end as state,
       j.args, coalesce(a.attempt, 0::smallint) as attempt, j.max_attempts, j.timeout_ms, j.tags,
       coalesce(d.due_at, j.run_at, j.created_at) as run_at, j.created_at, j.parent,
       a.finished_at, a.result, a.error, j.limit_key
  from troupe.job j
  left join troupe.deferred d on d.job_id = j.id
  left join lateral (
    select * from troupe.attempt t where t.job_id = j.id order by t.attempt desc limit 1) a on true;

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
          select r.job_id, r.attempt from troupe.ready r where r.lane = l.id and r.xact = any (l.open)
          union all
          select r.job_id, r.attempt from troupe.ready r
           where r.lane = l.id and r.xact = any (l.draining)
             and (r.xact, r.seq) > (l.late_xact, l.late_seq)) e
       where l.queue = p_queue
         and not exists (select from troupe.revoked v
                          where v.job_id = e.job_id and v.attempt = e.attempt offset 0)
      union all
      select from troupe.parked p
       where p.queue = p_queue and troupe.still_waits(p.job_id, p.attempt)
       limit p_most) some_of_them);
end $$;

-- Queues in order of their names, after one or only that of one name.
drop function troupe.list_queues(text, text, int, int);
create function troupe.list_queues(p_only text, p_after text, p_limit int, p_most int)
returns table (name text, paused_at timestamptz, concurrency int, version bigint, changed_at timestamptz,
               waiting bigint, running bigint, rate int, rate_period_ms int, rate_burst int,
               key_concurrency int, key_rate int, key_rate_period_ms int, key_rate_burst int)
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
         q.rate, q.rate_period_ms, q.rate_burst,
         q.key_concurrency, q.key_rate, q.key_rate_period_ms, q.key_rate_burst
    from known k left join troupe.queue q on q.name = k.name
   order by k.name;
end $$;
