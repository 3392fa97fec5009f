-- What limited keys leave behind, beside a snapshot that is held: nothing that dies there goes, and claims and
-- heartbeats read through all of it. Now they read only from where something can live.

-- Where the keys of a queue stand: its newest row, which is found from the end of the index as a lane's is. Claims
-- write it while they hold the queue's row. None: as the defaults.
create table troupe.key_state (
  served_at    timestamptz not null default '-infinity', -- what is set aside, as a lane
  moves        bigint not null default 0,
  era          bigint not null default 0,
  batches_from bigint default 0,               -- no lease below has a batch; null: none has
  ends_from    xid8 not null default '0',      -- what older transactions wrote to key_end is used up,
  ends_open    xid8[] not null default '{}',   -- but for what these did
  spent        bigint not null default 0,      -- rows that died in its generation, less those moved there
  generation   int not null default 0,         -- that of its rows in parked, key_turn, key_run and key_pace
  queue        text not null,
  primary key (queue, era)
) with (fillfactor = 50);

create function troupe.key_state_of(p_queue text) returns troupe.key_state
language plpgsql stable
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  s troupe.key_state;
begin
  select * into s from troupe.key_state x where x.queue = p_queue order by x.era desc limit 1;
  if not found then
    s.served_at := '-infinity'; s.moves := 0; s.era := 0; s.batches_from := 0; s.ends_from := '0';
    s.ends_open := '{}'; s.spent := 0; s.generation := 0; s.queue := p_queue;
  end if;
  return s;
end $$;

create function troupe.note_key_state(s troupe.key_state) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  update troupe.key_state x
     set served_at = s.served_at, batches_from = s.batches_from, ends_from = s.ends_from,
         ends_open = s.ends_open, spent = s.spent, generation = s.generation,
         moves = x.moves + 1, era = (x.moves + 1) / 32
   where x.queue = s.queue and x.era = s.era;
  if not found then -- a snapshot from before another claim's first one is refused by the conflict
    insert into troupe.key_state (queue, served_at, batches_from, ends_from, ends_open, spent, generation)
    values (s.queue, s.served_at, s.batches_from, s.ends_from, s.ends_open, s.spent, s.generation)
    on conflict (queue, era) do nothing;
  end if;
end $$;

alter table troupe.queue drop column parked_served_at;

-- -- in generations --------------------------------------------------------------------------------

alter table troupe.parked add column generation int not null default 0, drop constraint parked_pkey,
  add primary key (queue, generation, limit_key, priority, job_id, attempt);
alter table troupe.key_turn add column generation int not null default 0, drop constraint key_turn_pkey,
  add primary key (queue, generation, due_at, turn);
drop index troupe.key_turn_due;
create index key_turn_due on troupe.key_turn (queue, generation, limit_key) where due_at > '-infinity';
alter table troupe.key_run add column generation int not null default 0, drop constraint key_run_pkey,
  add primary key (queue, generation, limit_key, lease);
alter table troupe.key_pace add column generation int not null default 0, drop constraint key_pace_pkey,
  add primary key (queue, generation, limit_key);

-- Lease by lease, each found by its key: for any of an array the server may read all leases of the node instead.
drop index troupe.key_run_lease;
create index key_run_lease on troupe.key_run (lease);
select troupe.edit_function('write_outcomes', $old$
  if exists (select from troupe.key_batch b where b.node = p_node and b.lease = any (p_done || p_leases))
     or exists (select from troupe.key_run k where k.node = p_node and k.lease = any (p_done || p_leases)) then
$old$, $new$
  if exists (
       select from (select distinct u.l
                      from unnest(p_done || case when coalesce(p_leases[1] = all (p_leases), true) then p_leases[1:1]
                                                 else p_leases end) u(l)) d
        where exists (select from troupe.key_batch b where b.node = p_node and b.lease = d.l offset 0)
           or exists (select from troupe.key_run k where k.node = p_node and k.lease = d.l offset 0)) then
$new$);
alter function troupe.write_outcomes(bigint, bigint[], bigint[], boolean, bigint[], bigint[], smallint[], smallint[],
                                     bigint[], bigint[], jsonb[], text[], bigint[]) set enable_bitmapscan = off;

-- Whether somebody's snapshot has kept what died in the last thousand transactions, as far as the caller may see.
create function troupe.keeps_what_died() returns boolean language sql volatile as $$
  select exists (select from pg_stat_activity a where age(a.backend_xmin) > 1000 and a.pid <> pg_backend_pid())
         or exists (select from pg_replication_slots r where age(r.xmin) > 1000)
         or exists (select from pg_prepared_xacts p where age(p.transaction) > 1000);
$$;

-- Moves what lives to the next generation, where nothing has died yet. Only after at least as many have died as
-- move, so that nothing pays twice; and not while somebody edits what is set aside, for whom nobody waits.
create function troupe.next_generation(s troupe.key_state) returns troupe.key_state
language plpgsql volatile
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  old constant int := s.generation;
  free bigint;
  moved bigint;
begin
  s.spent := 0;
  if troupe.keeps_what_died() then
    free := (select count(*) from (select from troupe.parked p where p.queue = s.queue and p.generation = old
                                     for update skip locked) x);
    if free = (select count(*) from troupe.parked p where p.queue = s.queue and p.generation = old) then
      s.generation := old + 1;
      update troupe.parked set generation = old + 1 where queue = s.queue and generation = old;
      get diagnostics moved = row_count;
      s.spent := s.spent - moved;
      update troupe.key_turn set generation = old + 1 where queue = s.queue and generation = old;
      get diagnostics moved = row_count;
      s.spent := s.spent - moved;
      update troupe.key_run set generation = old + 1 where queue = s.queue and generation = old;
      get diagnostics moved = row_count;
      s.spent := s.spent - moved;
      update troupe.key_pace set generation = old + 1
       where queue = s.queue and generation = old and rate_at > clock_timestamp(); -- the others are as none
      get diagnostics moved = row_count;
      s.spent := s.spent - moved;
    end if;
  end if;
  perform troupe.note_key_state(s);
  return troupe.key_state_of(s.queue);
end $$;

-- -- what has ended ----------------------------------------------------------------------------------

alter table troupe.key_end add column xact xid8 not null default pg_current_xact_id(), drop constraint key_end_pkey,
  add primary key (queue, xact, id);

create function troupe.key_ends(p_queue text) returns setof troupe.key_end
language plpgsql stable
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  s constant troupe.key_state := troupe.key_state_of(p_queue);
begin
  return query
    select e.* from troupe.key_end e where e.queue = p_queue and e.xact >= s.ends_from
    union all
    select e.* from unnest(s.ends_open) o(writer)
     cross join lateral (select * from troupe.key_end x where x.queue = p_queue and x.xact = o.writer offset 0) e
     where o.writer < s.ends_from;
end $$;

-- As before, and the older of those that run move to key_run. Returns where the rest begins.
drop function troupe.settle_batches(text);
create function troupe.settle_batches(p_queue text, p_from bigint) returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  most constant int := 20000; -- keys in the batches of a queue
  newest bigint;              -- of those that move
  first bigint;               -- of those that stay
begin
  with live as materialized (
    select x.lease, x.taken_at, sum(cardinality(x.counts)) over (order by x.lease desc) as upto
      from troupe.key_batch x where x.queue = p_queue and x.lease >= p_from),
  bound as materialized (
    select max(b.lease) as lease from live b
     where b.taken_at < clock_timestamp() - interval '2 seconds' or b.upto > most)
  select b.lease, (select min(l.lease) from live l where b.lease is null or l.lease > b.lease)
    into newest, first from bound b;
  if newest is not null then
    with old as (
      delete from troupe.key_batch b where b.queue = p_queue and b.lease between p_from and newest returning *)
    insert into troupe.key_run (lease, node, queue, generation, limit_key, jobs)
    select o.lease, o.node, o.queue, (troupe.key_state_of(p_queue)).generation, u.k, array_agg(u.i)
      from old o cross join unnest(o.jobs, o.keys) u(i, k)
     where u.k is not null group by o.lease, o.node, o.queue, u.k;
  end if;
  return first;
end $$;

-- Takes what has ended off what runs: whole leases, and parts of them when p_all, when something is set aside, or
-- when they are many.
create or replace function troupe.fold_keys(p_queue text, p_all boolean) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_hashjoin = on
set enable_mergejoin = off
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  many constant int := 200;
  s troupe.key_state := troupe.key_state_of(p_queue);
  aside constant boolean := exists (select from troupe.parked p
                                     where p.queue = p_queue and p.generation = s.generation);
  own constant xid8 := pg_current_xact_id();
  first bigint;
  snap pg_snapshot;
  used bigint;   -- rows
  spent bigint;
  others xid8[]; -- that wrote the parts that are left
  freed text[];
  fewer_of text[];
begin
  with ends as materialized (select * from troupe.key_ends(p_queue)),
  over as materialized (select distinct e.lease from ends e where e.jobs is null),
  gone as (
    delete from troupe.key_run k using over o
     where k.lease = o.lease and k.queue = p_queue
    returning k.limit_key),
  gone_batch as (
    delete from troupe.key_batch b using over o
     where b.lease = o.lease and b.queue = p_queue and b.lease >= s.batches_from
    returning b.names),
  used as (
    delete from troupe.key_end x using ends e join over o on o.lease = e.lease
     where x.queue = p_queue and x.xact = e.xact and x.id = e.id
       and x.xact >= (select b.xact from ends b order by b.xact limit 1) -- for the index, however the planner joins
    returning 1)
  select (select array_agg(distinct x.k)
            from (select g.limit_key as k from gone g where aside
                  union all
                  select u.k from gone_batch g cross join unnest(g.names) u(k) where aside) x),
         (select array_agg(distinct e.xact) from ends e where e.lease not in (select o.lease from over o)),
         (select count(*) from used), (select count(*) from gone),
         (select count(*) > many from ends e where e.lease not in (select o.lease from over o)) or p_all or aside,
         pg_current_snapshot()
    into freed, others, used, spent, p_all, snap;
  if others is not null and p_all then
    with given as materialized (
      select e.id, e.xact, e.lease, e.jobs from troupe.key_ends(p_queue) e where e.jobs is not null),
    leases as materialized (
      select distinct lease from given),
    ended as materialized (
      select distinct g.lease, j from given g cross join unnest(g.jobs) j),
    fewer as materialized (
      select k.limit_key, k.lease, array_agg(r.id) filter (where e.j is null) as jobs
        from leases l
        join troupe.key_run k on k.lease = l.lease and k.queue = p_queue
        cross join unnest(k.jobs) r(id)
        left join ended e on e.lease = k.lease and e.j = r.id
       group by k.limit_key, k.lease
      having count(e.j) > 0),
    fewer_of_batch as materialized (
      select b.lease, array_agg(distinct u.k) filter (where e.j is not null and u.k is not null) as freed,
             array_agg(u.i order by u.o) filter (where e.j is null) as jobs,
             array_agg(u.k order by u.o) filter (where e.j is null) as keys
        from leases l
        join troupe.key_batch b on b.lease = l.lease and b.queue = p_queue and b.lease >= s.batches_from
        cross join unnest(b.jobs, b.keys) with ordinality u(i, k, o)
        left join ended e on e.lease = b.lease and e.j = u.i
       group by b.lease
      having count(e.j) > 0),
    changed as (
      update troupe.key_run k set jobs = f.jobs from fewer f
       where f.jobs is not null
         and k.queue = p_queue and k.generation = s.generation and k.limit_key = f.limit_key and k.lease = f.lease),
    changed_batch as (
      update troupe.key_batch b set jobs = f.jobs, keys = f.keys, names = n.names, counts = n.counts
        from fewer_of_batch f cross join lateral troupe.counts_of_keys(f.keys) n
       where f.jobs is not null and b.queue = p_queue and b.lease = f.lease and b.lease >= s.batches_from),
    gone as (
      delete from troupe.key_run k using fewer f
       where f.jobs is null
         and k.queue = p_queue and k.generation = s.generation and k.limit_key = f.limit_key and k.lease = f.lease),
    gone_batch as (
      delete from troupe.key_batch b using fewer_of_batch f
       where f.jobs is null and b.queue = p_queue and b.lease = f.lease and b.lease >= s.batches_from),
    used as (
      delete from troupe.key_end e using given g
       where e.queue = p_queue and e.xact = g.xact and e.id = g.id
         and e.xact >= (select b.xact from given b order by b.xact limit 1))
    select (select array_agg(distinct x.k)
              from (select f.limit_key as k from fewer f
                    union all
                    select u.k from fewer_of_batch f cross join unnest(f.freed) u(k)) x),
           spent + (select count(*) from fewer)
      into fewer_of, spent;
    freed := freed || fewer_of;
    used := used + 1;
    others := null; -- whatever the first of these statements left is used up now
  end if;
  if aside and freed <> '{}' then
    perform troupe.note_keys(p_queue, freed);
  end if;
  first := troupe.settle_batches(p_queue, s.batches_from);
  if used > 0 or first is distinct from s.batches_from then
    s.ends_from := pg_snapshot_xmax(snap);
    s.ends_open := troupe.unseen_by(snap, own) || coalesce(others, '{}');
    s.batches_from := first;
    s.spent := s.spent + spent;
    perform troupe.note_key_state(s);
  end if;
end $$;

-- -- who reads and writes them ----------------------------------------------------------------------

-- What runs is hashed, or what is asked: both may be thousands of keys, and next to none of them the same.
create or replace function troupe.runs_of_keys(p_queue text, p_keys text[]) returns bigint[]
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_hashjoin = on
set enable_nestloop = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  s constant troupe.key_state := troupe.key_state_of(p_queue);
  old constant boolean := exists (select from troupe.key_run r
                                   where r.queue = p_queue and r.generation = s.generation);
begin
  return (
    with asked as materialized (
      select u.k collate "C" as k, u.o from unnest(p_keys) with ordinality u(k, o)),
    live as (
      select u.k, u.n from troupe.key_batch b cross join lateral unnest(b.names, b.counts) u(k, n)
       where b.queue = p_queue and b.lease >= s.batches_from),
    found as (
      select a.o, sum(l.n)::bigint as n from live l join asked a on a.k = l.k group by a.o)
    select array_agg(coalesce(f.n, 0)
                     + case when old then (select coalesce(sum(cardinality(r.jobs)), 0) from troupe.key_run r
                                            where r.queue = p_queue and r.generation = s.generation
                                              and r.limit_key = a.k)
                            else 0 end order by a.o)
      from asked a left join found f on f.o = a.o);
end $$;

select troupe.edit_function('key_rooms', $old$
  aside boolean := p_new and exists (select from troupe.parked p where p.queue = p_queue);
begin
$old$, $new$
  gen constant int := (troupe.key_state_of(p_queue)).generation;
  aside boolean := p_new and exists (select from troupe.parked p where p.queue = p_queue and p.generation = gen);
begin
$new$);
select troupe.edit_function('key_rooms', $old$
                                          where p.queue = p_queue and p.limit_key = u.k) then -1
$old$, $new$
                                          where p.queue = p_queue and p.generation = gen and p.limit_key = u.k) then -1
$new$);
select troupe.edit_function('key_rooms', $old$
                                where x.queue = p_queue and x.limit_key = u.k), 0))) / each) end))::int end
$old$, $new$
                                where x.queue = p_queue and x.generation = gen and x.limit_key = u.k), 0))) / each) end))::int end
$new$);

select troupe.edit_function('note_keys', $old$
  q troupe.queue;
  waiting text[] := array(
    select g.k from unnest(p_keys) with ordinality g(k, o)
     where exists (select from troupe.parked p where p.queue = p_queue and p.limit_key = g.k)
$old$, $new$
  q troupe.queue;
  gen constant int := (troupe.key_state_of(p_queue)).generation;
  waiting text[] := array(
    select g.k from unnest(p_keys) with ordinality g(k, o)
     where exists (select from troupe.parked p
                    where p.queue = p_queue and p.generation = gen and p.limit_key = g.k)
$new$);
select troupe.edit_function('note_keys', $old$
  insert into troupe.key_turn (queue, limit_key, due_at)
  select p_queue, w.k, case when$old$, $new$
  insert into troupe.key_turn (queue, generation, limit_key, due_at)
  select p_queue, gen, w.k, case when$new$);
select troupe.edit_function('note_keys', $old$
                    from troupe.key_pace x where x.queue = p_queue and x.limit_key = u.k) as due
$old$, $new$
                    from troupe.key_pace x
                   where x.queue = p_queue and x.generation = gen and x.limit_key = u.k) as due
$new$);
select troupe.edit_function('note_keys', $old$
                      where t.queue = p_queue and t.limit_key = w.k and t.due_at > '-infinity')
$old$, $new$
                      where t.queue = p_queue and t.generation = gen and t.limit_key = w.k
                        and t.due_at > '-infinity')
$new$);

select troupe.edit_function('drop_parked', $old$
     using (select x.queue, x.limit_key, x.priority, x.job_id, x.attempt from troupe.parked x
             where x.job_id = any (p_jobs) for update skip locked) g
     where p.queue = g.queue and p.limit_key = g.limit_key and p.priority = g.priority
$old$, $new$
     using (select x.queue, x.generation, x.limit_key, x.priority, x.job_id, x.attempt from troupe.parked x
             where x.job_id = any (p_jobs) for update skip locked) g
     where p.queue = g.queue and p.generation = g.generation and p.limit_key = g.limit_key and p.priority = g.priority
$new$);

select troupe.edit_function('keys_changed', $old$
    insert into troupe.key_run (lease, node, queue, limit_key, jobs)
    select l.id, l.node, p_queue, j.limit_key, array_agg(j.id)
$old$, $new$
    insert into troupe.key_run (lease, node, queue, generation, limit_key, jobs)
    select l.id, l.node, p_queue, (troupe.key_state_of(p_queue)).generation, j.limit_key, array_agg(j.id)
$new$);

select troupe.edit_function('offer_parked', $old$
  window_size constant int := 200 + p_limit;
$old$, $new$
  gen constant int := (troupe.key_state_of(p_queue)).generation;
  window_size constant int := 200 + p_limit;
$new$);
select troupe.edit_function('offer_parked', $old$
    from ((select * from troupe.key_turn t where t.queue = p_queue and t.due_at = '-infinity'
            order by t.turn limit window_size)
          union all
          (select * from troupe.key_turn t
            where t.queue = p_queue and t.due_at > '-infinity' and t.due_at <= clock_timestamp()
$old$, $new$
    from ((select * from troupe.key_turn t
            where t.queue = p_queue and t.generation = gen and t.due_at = '-infinity'
            order by t.turn limit window_size)
          union all
          (select * from troupe.key_turn t
            where t.queue = p_queue and t.generation = gen and t.due_at > '-infinity' and t.due_at <= clock_timestamp()
$new$);
select troupe.edit_function('offer_parked', $old$
  if not exists (select from troupe.parked p where p.queue = p_queue) then
    delete from troupe.key_turn t using unnest(dues, turns) w(due_at, turn)
     where t.queue = p_queue and t.due_at = w.due_at and t.turn = w.turn;
$old$, $new$
  if not exists (select from troupe.parked p where p.queue = p_queue and p.generation = gen) then
    delete from troupe.key_turn t using unnest(dues, turns) w(due_at, turn)
     where t.queue = p_queue and t.generation = gen and t.due_at = w.due_at and t.turn = w.turn;
$new$);
select troupe.edit_function('offer_parked', $old$
        select * from troupe.parked x where x.queue = p_queue and x.limit_key = n.k
$old$, $new$
        select * from troupe.parked x where x.queue = p_queue and x.generation = gen and x.limit_key = n.k
$new$);
select troupe.edit_function('offer_parked', $old$
     where not h.alive and p.queue = p_queue and p.limit_key = h.k and p.priority = h.priority
$old$, $new$
     where not h.alive and p.queue = p_queue and p.generation = gen and p.limit_key = h.k and p.priority = h.priority
$new$);
select troupe.edit_function('offer_parked', $old$
     where t.queue = p_queue and t.due_at = w.due_at and t.turn = w.turn and w.name = any (fruitless);
$old$, $new$
     where t.queue = p_queue and t.generation = gen and t.due_at = w.due_at and t.turn = w.turn
       and w.name = any (fruitless);
$new$);

select troupe.edit_function('unpark', $old$
  held bigint[];
begin
$old$, $new$
  gen constant int := (troupe.key_state_of(p_queue)).generation;
  held bigint[];
begin
$new$);
select troupe.edit_function('unpark', $old$
   where t.queue = p_queue and t.due_at = w.due_at and t.turn = w.turn and w.name = any (unpark.keys);
$old$, $new$
   where t.queue = p_queue and t.generation = gen and t.due_at = w.due_at and t.turn = w.turn
     and w.name = any (unpark.keys);
$new$);
select troupe.edit_function('unpark', $old$
       and p.queue = p_queue and p.limit_key = u.k and p.priority = p_priority and p.job_id = u.i
$old$, $new$
       and p.queue = p_queue and p.generation = gen and p.limit_key = u.k and p.priority = p_priority
       and p.job_id = u.i
$new$);

select troupe.edit_function('sort_entries', $old$
     and exists (select from troupe.key_end e where e.queue = p_queue) then
$old$, $new$
     and exists (select from troupe.key_ends(p_queue)) then
$new$);
select troupe.edit_function('sort_entries', $old$
    insert into troupe.parked (queue, limit_key, priority, job_id, attempt)
    select p_queue, p.k, p_priority, p.i, p.a from passed p where$old$, $new$
    insert into troupe.parked (queue, generation, limit_key, priority, job_id, attempt)
    select p_queue, (troupe.key_state_of(p_queue)).generation, p.k, p_priority, p.i, p.a from passed p where$new$);

select troupe.edit_function('take_keyed', $old$
  q troupe.queue;
  offered record;
$old$, $new$
  q troupe.queue;
  s troupe.key_state := troupe.key_state_of(p_queue);
  offered record;
$new$);
select troupe.edit_function('take_keyed', $old$
    perform troupe.fold_keys(p_queue, exists (select from troupe.parked x where x.queue = p_queue)
                                      or (select count(*) from (select from troupe.key_end e
                                                                 where e.queue = p_queue
                                                                 limit 200) x) = 200);
$old$, $new$
    if s.spent >= 500 then
      s := troupe.next_generation(s);
    end if;
    perform troupe.fold_keys(p_queue, false);
$new$);
select troupe.edit_function('take_keyed', $old$
      select 0, offered.best, q.parked_served_at where offered.best is not null
$old$, $new$
      select 0, offered.best, s.served_at where offered.best is not null
$new$);
select troupe.edit_function('take_keyed', $old$
    -- Written in any case: a snapshot from before must notice.
    update troupe.queue x
       set parked_served_at = case when served then clock_timestamp() else x.parked_served_at end
     where x.name = p_queue and (ids <> '{}' or touched <> '{}');
  end if;
  if ids <> '{}' then
    insert into troupe.lease (node, jobs, attempts) values (p_node, ids, ats) returning id into lease_id;
    if each_key is null then
      select c.names, c.counts into each_key, amounts from troupe.counts_of_keys(names) c;
    end if;
$old$, $new$
  end if;
  if ids <> '{}' then
    insert into troupe.lease (node, jobs, attempts) values (p_node, ids, ats) returning id into lease_id;
    if each_key is null then
      select c.names, c.counts into each_key, amounts from troupe.counts_of_keys(names) c;
    end if;
  end if;
  if ids <> '{}' or touched <> '{}' then -- written in any case: a snapshot from before must notice
    s := troupe.key_state_of(p_queue);
    s.batches_from := coalesce(s.batches_from, lease_id);
    if served then
      s.served_at := clock_timestamp();
    end if;
    s.spent := s.spent + case when served then cardinality(ids) else 0 end + cardinality(touched)
               + case when q.key_rate is not null then coalesce(cardinality(each_key), 0) else 0 end;
    perform troupe.note_key_state(s);
  end if;
  if ids <> '{}' then
$new$);
select troupe.edit_function('take_keyed', $old$
      insert into troupe.key_pace as p (queue, limit_key, rate_at)
      select p_queue, u.k, clock_timestamp() + make_interval($old$, $new$
      insert into troupe.key_pace as p (queue, generation, limit_key, rate_at)
      select p_queue, s.generation, u.k, clock_timestamp() + make_interval($new$);
select troupe.edit_function('take_keyed', $old$
      on conflict (queue, limit_key) do update
$old$, $new$
      on conflict (queue, generation, limit_key) do update
$new$);

select troupe.edit_function('queues_in_turn', $old$
       and (exists (select from troupe.key_turn t
                     where t.queue = q.name and t.due_at <= clock_timestamp())
            or exists (select from troupe.key_end e where e.queue = q.name offset 0)
               and exists (select from troupe.parked p where p.queue = q.name offset 0))
$old$, $new$
       and exists (
         select from (select (troupe.key_state_of(q.name)).generation as now offset 0) g
          where exists (select from troupe.key_turn t
                         where t.queue = q.name and t.generation = g.now and t.due_at <= clock_timestamp() offset 0)
             or exists (select from troupe.parked p where p.queue = q.name and p.generation = g.now offset 0)
                and exists (select from troupe.key_ends(q.name)))
$new$);
select troupe.edit_function('claim_wait_ms', $old$
                       where t.queue = p_queue and t.due_at > '-infinity'
$old$, $new$
                       where t.queue = p_queue and t.generation = (troupe.key_state_of(p_queue)).generation
                         and t.due_at > '-infinity'
$new$);

select troupe.edit_function('why', $old$
  q troupe.queue;
  heartbeat timestamptz;
$old$, $new$
  q troupe.queue;
  keys troupe.key_state;
  heartbeat timestamptz;
$new$);
select troupe.edit_function('why', $old$
    aside := exists (select from troupe.parked p
$old$, $new$
    keys := troupe.key_state_of(why.queue);
    aside := exists (select from troupe.parked p
$new$);
select troupe.edit_function('why', $old$
                  where p.queue = why.queue and p.limit_key = why.limit_key
$old$, $new$
                  where p.queue = why.queue and p.generation = keys.generation and p.limit_key = why.limit_key
$new$);
select troupe.edit_function('why', $old$
      in_use := (
        select coalesce(sum(cardinality(r.jobs) - (
                 select count(distinct i) from troupe.key_end e cross join unnest(e.jobs) u(i)
                  where e.queue = r.queue and e.lease = r.lease and e.node = r.node
                    and i = any (r.jobs))), 0)
          from troupe.key_runs r
         where r.queue = why.queue and r.limit_key = why.limit_key
           and not exists (select from troupe.key_end e
                            where e.queue = r.queue and e.lease = r.lease and e.node = r.node
                              and e.jobs is null offset 0));
$old$, $new$
      in_use := (
        with ends as materialized (select x.lease, x.jobs from troupe.key_ends(why.queue) x),
        runs as materialized (
          select r.lease, r.jobs from troupe.key_run r
           where r.queue = why.queue and r.generation = keys.generation and r.limit_key = why.limit_key
          union all
          select b.lease, array(select u.i from unnest(b.jobs, b.keys) u(i, k) where u.k = why.limit_key)
            from troupe.key_batch b
           where b.queue = why.queue and b.lease >= keys.batches_from)
        select coalesce(sum(cardinality(r.jobs) - (
                 select count(distinct i) from ends e cross join unnest(e.jobs) u(i)
                  where e.lease = r.lease and i = any (r.jobs))), 0)
          from runs r
         where not exists (select from ends e where e.lease = r.lease and e.jobs is null));
$new$);
select troupe.edit_function('why', $old$
                            from troupe.key_pace p
                           where p.queue = why.queue and p.limit_key = why.limit_key), due_at);
$old$, $new$
                            from troupe.key_pace p
                           where p.queue = why.queue and p.generation = keys.generation
                             and p.limit_key = why.limit_key), due_at);
$new$);
select troupe.edit_function('why', $old$
                          where t.queue = why.queue and t.due_at <= clock_timestamp()
                            and t.turn < (select min(m.turn) from troupe.key_turn m
                                           where m.queue = why.queue and m.limit_key = why.limit_key)
$old$, $new$
                          where t.queue = why.queue and t.generation = keys.generation
                            and t.due_at <= clock_timestamp()
                            and t.turn < (select min(m.turn) from troupe.key_turn m
                                           where m.queue = why.queue and m.generation = keys.generation
                                             and m.limit_key = why.limit_key)
$new$);

create or replace function troupe.tidy_keys() returns void language plpgsql
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
  delete from troupe.key_pace p
   where (p.queue, p.generation, p.limit_key) in (
           select x.queue, x.generation, x.limit_key from troupe.key_pace x
            where x.rate_at < now() - interval '1 minute' limit 20000 for update skip locked);
  -- What was ended while the limits were taken away. Queue by queue: the others' need not be read.
  delete from troupe.key_end e using troupe.queue q
   where q.key_concurrency is null and q.key_rate is null and e.queue = q.name;
end $$;

-- Before all else: a database restored to a server whose ids lie behind would take what ends now for used up.
select troupe.edit_function('rebase_lanes', $old$
  delete from troupe.checkpoint c where c.xact > pg_snapshot_xmax(pg_current_snapshot());
$old$, $new$
  delete from troupe.checkpoint c where c.xact > pg_snapshot_xmax(pg_current_snapshot());
  update troupe.key_state s set ends_from = '0', ends_open = '{}'
   where s.ends_from > pg_snapshot_xmax(pg_current_snapshot());
$new$);
