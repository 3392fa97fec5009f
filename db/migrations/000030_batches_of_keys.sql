-- What runs of limited keys is noted a row per claim, not a row per key of each claim.
--
-- A claim of a thousand jobs of a hundred keys wrote a hundred rows of key_run, its end deleted them, and the
-- next claim looked a hundred keys up: that was half of what a limit of keys costs. Now a claim writes one
-- row of key_batch. Who counts reads all batches of the queue, so these must stay few: what is older than
-- two seconds, or beyond the newest that name 20,000 keys together, moves to key_run, where a key is found
-- by an index. So jobs that are soon over never get there, and long ones do so once.
--
-- Only claims write either of them, under the queue's row, and moving is one statement: whoever ends runs
-- finds their lease in just one of the two.

-- Also for a function whose parameters or result change, which a replacement cannot do. Nothing is granted on
-- ours, and nothing depends on them.
create or replace function troupe.edit_function(p_name text, p_old text, p_new text) returns void
  language plpgsql as $$
declare
  edited regprocedure := case when p_name like '%(%' then ('troupe.' || p_name)::regprocedure::oid
                              else ('troupe.' || p_name)::regproc::oid end;
  before text := pg_get_functiondef(edited);
  after text := replace(before, p_old, p_new);
begin
  if length(after) <> length(before) + length(p_new) - length(p_old) or p_old = p_new then
    raise exception 'troupe.% does not have this once: %', p_name, p_old;
  end if;
  if split_part(before, 'LANGUAGE', 1) <> split_part(after, 'LANGUAGE', 1) then
    execute format('drop function %s', edited);
  end if;
  execute after;
end $$;

create table troupe.key_batch (
  lease bigint not null,
  node bigint not null,
  queue text not null,
  taken_at timestamptz not null default clock_timestamp(),
  names text[] collate "C" not null,  -- the keys, each once, and
  counts int[] not null,              -- how many of the jobs are of each
  jobs bigint[] not null,
  keys text[] collate "C" not null,   -- of each job
  primary key (node, lease)
);
-- To compress them takes longer than to write them, and the rows live for moments.
alter table troupe.key_batch alter names set storage external, alter counts set storage external,
                             alter jobs set storage external, alter keys set storage external;
alter table troupe.key_end alter jobs set storage external;
create index key_batch_queue on troupe.key_batch (queue, lease);

-- What runs of limited keys, a row for each lease and key, however it is stored.
create view troupe.key_runs as
  select lease, node, queue, limit_key, jobs from troupe.key_run
  union all
  select b.lease, b.node, b.queue, u.k, array_agg(u.i)
    from troupe.key_batch b cross join lateral unnest(b.jobs, b.keys) u(i, k)
   where u.k is not null group by b.lease, b.node, b.queue, u.k;

-- How many runs each of some keys has; p_keys has none twice.
create function troupe.runs_of_keys(p_queue text, p_keys text[]) returns bigint[]
  language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_hashjoin = off
  set enable_mergejoin = off
  set enable_seqscan = off
  set enable_bitmapscan = off
  set jit = off as $$
declare
  old boolean := exists (select from troupe.key_run r where r.queue = p_queue);
begin
  return (
    -- One pass over all, instead of a join for which the planner would have to know how many there are.
    with used as materialized (
      select x.k, min(x.o) as o, sum(x.n)::bigint as n
        from (select u.k collate "C" as k, u.o, 0 as n from unnest(p_keys) with ordinality u(k, o)
              union all
              select u.k, null, u.n
                from troupe.key_batch b cross join unnest(b.names, b.counts) u(k, n)
               where b.queue = p_queue) x
       group by x.k)
    select array_agg(case when old
                          then u.n + (select coalesce(sum(cardinality(r.jobs)), 0) from troupe.key_run r
                                       where r.queue = p_queue and r.limit_key = u.k)
                          else u.n end order by u.o)
      from used u where u.o is not null);
end $$;

create or replace function troupe.key_rooms(p_queue text, p_keys text[], p_new boolean) returns int[]
  language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_hashjoin = off
  set enable_mergejoin = off
  set enable_seqscan = off
  set enable_bitmapscan = off
  set jit = off as $$
declare
  q troupe.queue;
  each numeric; -- milliseconds
  used bigint[];
  aside boolean := p_new and exists (select from troupe.parked p where p.queue = p_queue);
begin
  select * into q from troupe.queue x where x.name = p_queue;
  each := q.key_rate_period_ms::numeric / q.key_rate;
  if q.key_concurrency is not null then
    used := troupe.runs_of_keys(p_queue, p_keys);
  end if;
  return (
    select array_agg(
             case when aside and exists (select from troupe.parked p
                                          where p.queue = p_queue and p.limit_key = u.k) then -1
                  else greatest(0, least(
                    q.key_concurrency - u.n,
                    case when q.key_rate is not null then
                      floor((q.key_rate_burst * each + 0.001 - 1000 * greatest(0, coalesce((
                               select extract(epoch from x.rate_at - clock_timestamp())
                                 from troupe.key_pace x
                                where x.queue = p_queue and x.limit_key = u.k), 0))) / each) end))::int end
             order by u.o)
      from unnest(p_keys, used) with ordinality u(k, n, o));
end $$;

create or replace function troupe.note_keys(p_queue text, p_keys text[]) returns void
  language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_hashjoin = off
  set enable_mergejoin = off
  set enable_seqscan = off
  set enable_bitmapscan = off
  set jit = off as $$
declare
  q troupe.queue;
  waiting text[] := array(
    select g.k from unnest(p_keys) with ordinality g(k, o)
     where exists (select from troupe.parked p where p.queue = p_queue and p.limit_key = g.k)
     group by g.k order by min(g.o));
  used bigint[];
begin
  select * into q from troupe.queue x where x.name = p_queue;
  if q.key_concurrency is not null then
    used := troupe.runs_of_keys(p_queue, waiting);
  end if;
  insert into troupe.key_turn (queue, limit_key, due_at)
  select p_queue, w.k, case when w.due > clock_timestamp() then w.due else '-infinity' end
    from (select u.k, u.o,
                 (select x.rate_at - make_interval(secs => (q.key_rate_burst - 1)
                                                           * (q.key_rate_period_ms / 1000.0 / q.key_rate))
                    from troupe.key_pace x where x.queue = p_queue and x.limit_key = u.k) as due
            from unnest(waiting, used) with ordinality u(k, n, o)
           where q.key_concurrency is null or q.key_concurrency > u.n) w
   where w.due is null or w.due <= clock_timestamp()
      or not exists (select from troupe.key_turn t
                      where t.queue = p_queue and t.limit_key = w.k and t.due_at > '-infinity')
   order by w.o;
end $$;

-- As before, but also from batches; of which keys something ended is found out only where jobs are set aside.
create or replace function troupe.fold_keys(p_queue text, p_all boolean) returns void
  language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_hashjoin = on
  set enable_mergejoin = off
  set enable_seqscan = off
  set enable_bitmapscan = off
  set jit = off as $$
declare
  aside boolean := exists (select from troupe.parked p where p.queue = p_queue);
  freed text[];
  fewer_of text[];
begin
  with over as materialized (
    select e.node, e.lease from troupe.key_end e where e.queue = p_queue and e.jobs is null),
  gone as (
    delete from troupe.key_run k using over o
     where k.node = o.node and k.lease = o.lease and k.queue = p_queue
    returning k.limit_key),
  gone_batch as (
    delete from troupe.key_batch b using over o
     where b.node = o.node and b.lease = o.lease and b.queue = p_queue
    returning b.names),
  used as (
    delete from troupe.key_end e using over o where e.queue = p_queue and e.lease = o.lease)
  select array_agg(distinct x.k) into freed
    from (select g.limit_key as k from gone g where aside
          union all
          select u.k from gone_batch g cross join unnest(g.names) u(k) where aside) x;
  if p_all then
    with given as materialized (
      select e.id, e.node, e.lease, e.jobs from troupe.key_end e
       where e.queue = p_queue and e.jobs is not null),
    leases as materialized (
      select distinct node, lease from given),
    ended as materialized (
      select distinct g.lease, j from given g cross join unnest(g.jobs) j),
    fewer as materialized (
      select k.limit_key, k.lease, array_agg(r.id) filter (where e.j is null) as jobs
        from leases l
        join troupe.key_run k on k.node = l.node and k.lease = l.lease and k.queue = p_queue
        cross join unnest(k.jobs) r(id)
        left join ended e on e.lease = k.lease and e.j = r.id
       group by k.limit_key, k.lease
      having count(e.j) > 0),
    fewer_of_batch as materialized (
      select b.node, b.lease, array_agg(distinct u.k) filter (where e.j is not null and u.k is not null) as freed,
             array_agg(u.i order by u.o) filter (where e.j is null) as jobs,
             array_agg(u.k order by u.o) filter (where e.j is null) as keys
        from leases l
        join troupe.key_batch b on b.node = l.node and b.lease = l.lease and b.queue = p_queue
        cross join unnest(b.jobs, b.keys) with ordinality u(i, k, o)
        left join ended e on e.lease = b.lease and e.j = u.i
       group by b.node, b.lease
      having count(e.j) > 0),
    changed as (
      update troupe.key_run k set jobs = f.jobs from fewer f
       where f.jobs is not null
         and k.queue = p_queue and k.limit_key = f.limit_key and k.lease = f.lease),
    changed_batch as (
      update troupe.key_batch b set jobs = f.jobs, keys = f.keys, names = n.names, counts = n.counts
        from fewer_of_batch f cross join lateral troupe.counts_of_keys(f.keys) n
       where f.jobs is not null and b.node = f.node and b.lease = f.lease),
    gone as (
      delete from troupe.key_run k using fewer f
       where f.jobs is null and k.queue = p_queue and k.limit_key = f.limit_key and k.lease = f.lease),
    gone_batch as (
      delete from troupe.key_batch b using fewer_of_batch f
       where f.jobs is null and b.node = f.node and b.lease = f.lease),
    used as (
      delete from troupe.key_end e using given g
       where e.queue = p_queue and e.lease = g.lease and e.id = g.id)
    select array_agg(distinct x.k) into fewer_of
      from (select f.limit_key as k from fewer f
            union all
            select u.k from fewer_of_batch f cross join unnest(f.freed) u(k)) x;
    freed := freed || fewer_of;
  end if;
  if aside and freed <> '{}' then
    perform troupe.note_keys(p_queue, freed);
  end if;
  perform troupe.settle_batches(p_queue);
end $$;

-- Which keys there are, and how many of each.
create function troupe.counts_of_keys(p_keys text[], out names text[], out counts int[]) language sql immutable as $$
  select coalesce(array_agg(x.k), '{}'), coalesce(array_agg(x.n), '{}')
    from (select u.k, count(*)::int as n from unnest(p_keys) u(k) where u.k is not null group by u.k) x
$$;

-- Moves batches to key_run that are old, or too many to be counted by each claim.
create function troupe.settle_batches(p_queue text) returns void
  language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_hashjoin = off
  set enable_mergejoin = off
  set enable_seqscan = off
  set enable_bitmapscan = off
  set jit = off as $$
declare
  most constant int := 20000; -- keys in the batches of a queue
  newest bigint;              -- of those that move
begin
  newest := (select max(b.lease)
               from (select x.lease, x.taken_at,
                            sum(cardinality(x.counts)) over (order by x.lease desc) as upto
                       from troupe.key_batch x where x.queue = p_queue) b
              where b.taken_at < clock_timestamp() - interval '2 seconds' or b.upto > most);
  if newest is null then
    return;
  end if;
  with old as (
    delete from troupe.key_batch b where b.queue = p_queue and b.lease <= newest returning *)
  insert into troupe.key_run (lease, node, queue, limit_key, jobs)
  select o.lease, o.node, o.queue, u.k, array_agg(u.i)
    from old o cross join unnest(o.jobs, o.keys) u(i, k)
   where u.k is not null group by o.lease, o.node, o.queue, u.k;
end $$;

-- As before, but also of batches; and runs of one lease are not gathered one by one.
create or replace function troupe.free_keys(p_node bigint, p_done bigint[], p_leases bigint[], p_jobs bigint[])
  returns void
  language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_hashjoin = off
  set enable_mergejoin = off
  set enable_seqscan = off
  set enable_bitmapscan = off
  set jit = off as $$
declare
  one boolean := coalesce(p_leases[1] = all (p_leases), false);
begin
  insert into troupe.key_end (queue, node, lease, jobs)
  select k.queue, p_node, x.l, x.jobs
    from (select d.l, null::bigint[] as jobs from unnest(p_done) d(l)
          union all
          select p_leases[1], p_jobs where one and p_leases[1] <> all (p_done)
          union all
          select u.l, array_agg(u.i) from unnest(p_leases, p_jobs) u(l, i)
           where not one and u.l <> all (p_done) group by u.l) x
    cross join lateral (
      (select b.queue from troupe.key_batch b where b.node = p_node and b.lease = x.l)
      union all
      (select r.queue from troupe.key_run r where r.node = p_node and r.lease = x.l limit 1)) k;
end $$;
select troupe.edit_function('free_keys_of_node', $old$
  select distinct k.queue, k.node, k.lease from troupe.key_run k where k.node = new.id;
$old$, $new$
  select distinct k.queue, k.node, k.lease from troupe.key_run k where k.node = new.id
  union all
  select b.queue, b.node, b.lease from troupe.key_batch b where b.node = new.id;
$new$);
select troupe.edit_function('write_outcomes', $old$
  if exists (select from troupe.key_run k where k.node = p_node and k.lease = any (p_done || p_leases)) then
$old$, $new$
  if exists (select from troupe.key_batch b where b.node = p_node and b.lease = any (p_done || p_leases))
     or exists (select from troupe.key_run k where k.node = p_node and k.lease = any (p_done || p_leases)) then
$new$);
select troupe.edit_function('keys_changed', $old$
    delete from troupe.key_run where queue = p_queue;
$old$, $new$
    delete from troupe.key_run where queue = p_queue;
    delete from troupe.key_batch where queue = p_queue;
$new$);
-- Keys of the column's collation would make it that of the called function, and its p_queue would meet no index.
select troupe.edit_function('keys_changed', $old$
    perform troupe.note_keys(p_queue, array(select distinct p.limit_key from troupe.parked p
                                             where p.queue = p_queue order by p.limit_key));
$old$, $new$
    perform troupe.note_keys(p_queue, array(select k.limit_key collate "default"
                                              from (select distinct p.limit_key from troupe.parked p
                                                     where p.queue = p_queue order by p.limit_key) k));
$new$);
select troupe.edit_function('why', $old$
          from troupe.key_run r
$old$, $new$
          from troupe.key_runs r
$new$);

-- A claim that hands out all that it reads has counted its keys already.
select troupe.edit_function('sort_entries',
  $old$OUT fresh text[])$old$, $new$OUT fresh text[], OUT names text[], OUT counts integer[])$new$);
select troupe.edit_function('sort_entries', $old$
  names text[];
  counts bigint[];
$old$, $new$
$new$);
select troupe.edit_function('sort_entries', $old$
  select array_agg(x.k), array_agg(x.n) into names, counts
    from (select k, count(*) as n from unnest(keys) k where k is not null group by k) x;
  rooms := troupe.key_rooms(p_queue, names, true);
$old$, $new$
  select c.names, c.counts into names, counts from troupe.counts_of_keys(keys) c;
  rooms := troupe.key_rooms(p_queue, names, true);
$new$);
select troupe.edit_function('sort_entries', $old$
    from passed p;
$old$, $new$
    from passed p;
  names := null; counts := null; -- they were of all that was read
$new$);
select troupe.edit_function('read_lane',
  $old$OUT tries smallint[])$old$, $new$OUT tries smallint[], OUT names text[], OUT amounts integer[])$new$);
select troupe.edit_function('read_lane', $old$
      cut := part.cut;
$old$, $new$
      cut := part.cut;
      names := case when firsts = '{}' then part.names end; -- one round has counted them all, or none has
      amounts := part.counts;
$new$);
select troupe.edit_function('take_keyed', $old$
  names text[];
$old$, $new$
  names text[];
  each_key text[]; -- each of these once, and how many jobs are of it; null: not counted yet
  amounts int[];
$new$);
select troupe.edit_function('take_keyed', $old$
        firsts := null;
      else
$old$, $new$
        firsts := null;
        each_key := null;
      else
$new$);
select troupe.edit_function('take_keyed', $old$
        firsts := part.firsts;
$old$, $new$
        firsts := part.firsts;
        each_key := part.names; amounts := part.amounts;
$new$);
select troupe.edit_function('take_keyed', $old$
    insert into troupe.key_run (lease, node, queue, limit_key, jobs)
    select lease_id, p_node, p_queue, u.k, array_agg(u.i)
      from unnest(ids, names) u(i, k) where u.k is not null group by u.k;
    if q.key_rate is not null then
      insert into troupe.key_pace as p (queue, limit_key, rate_at)
      select p_queue, u.k, clock_timestamp() + make_interval(
               secs => count(*)::int * (q.key_rate_period_ms / 1000.0 / q.key_rate))
        from unnest(names) u(k) where u.k is not null group by u.k
      on conflict $old$, $new$
    if each_key is null then
      select c.names, c.counts into each_key, amounts from troupe.counts_of_keys(names) c;
    end if;
    if each_key <> '{}' then
      insert into troupe.key_batch (lease, node, queue, names, counts, jobs, keys)
      values (lease_id, p_node, p_queue, each_key, amounts, ids, names);
    end if;
    if q.key_rate is not null then
      insert into troupe.key_pace as p (queue, limit_key, rate_at)
      select p_queue, u.k, clock_timestamp() + make_interval(
               secs => u.n * (q.key_rate_period_ms / 1000.0 / q.key_rate))
        from unnest(each_key, amounts) u(k, n)
      on conflict $new$);

-- A claim of many jobs gives their ids while it holds the queue's row. Who asked for it so reads the jobs
-- afterwards, when the next claim already counts: p_later. The row then has a lease, no job, and as args
-- what troupe.leased_jobs takes.
select troupe.edit_function('take',
  $old$p_held integer DEFAULT 0)$old$, $new$p_held integer DEFAULT 0, p_later boolean DEFAULT false)$new$);
select troupe.edit_function('take', $old$p_slots, p_held, most, have);$old$, $new$p_slots, p_held, most, have, p_later);$new$);
select troupe.edit_function('take_keyed',
  $old$p_most integer, p_have integer)$old$, $new$p_most integer, p_have integer, p_later boolean)$new$);
select troupe.edit_function('take_keyed', $old$
  if firsts is not null then
    return query
$old$, $new$
  if firsts is not null and p_later and cardinality(ids) > 100 then -- fewer are read sooner than asked for again
    lease := lease_id; again := true;
    args := (select jsonb_agg(jsonb_build_array(u.f, u.c, u.a)) from unnest(firsts, part.counts, part.tries) u(f, c, a));
    return next;
    return;
  end if;
  if firsts is not null then
    return query
$new$);

-- The jobs of a lease by runs of them: [first, how many, attempt] each.
create function troupe.leased_jobs(p_runs jsonb)
  returns table (job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind text, args jsonb,
                 retry jsonb)
  language plpgsql stable
  set plan_cache_mode = force_generic_plan
  set enable_hashjoin = off
  set enable_mergejoin = off
  set enable_seqscan = off
  set enable_bitmapscan = off
  set jit = off as $$
declare
  firsts bigint[];
  counts int[];
  attempts smallint[];
begin
  select array_agg((r ->> 0)::bigint), array_agg((r ->> 1)::int), array_agg((r ->> 2)::smallint)
    into firsts, counts, attempts from jsonb_array_elements(p_runs) r;
  return query
    select j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args, j.retry
      from unnest(firsts, counts, attempts) u(f, c, a)
      join troupe.job j on j.id between u.f and u.f + u.c - 1;
end $$;

-- A lease's jobs, too, live for moments.
alter table troupe.lease alter jobs set storage external, alter attempts set storage external,
                         alter started set storage external;
