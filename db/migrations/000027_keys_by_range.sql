-- Limits of keys, cheaper: jobs of whole runs are read by range, for their keys and to hand them out.

drop function troupe.sort_entries(text, smallint, bigint[], smallint[], int);
create function troupe.sort_entries(p_queue text, p_priority smallint, p_firsts bigint[], p_counts int[],
                                    p_jobs bigint[], p_attempts smallint[], p_room int, out cut int,
                                    out jobs bigint[], out attempts smallint[], out keys text[],
                                    out fresh text[])
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  found bigint[];
  names text[];
  counts bigint[];
  rooms int[];
begin
  select array_agg(j.id), array_agg(j.limit_key) into found, keys
    from unnest(p_firsts, p_counts) u(f, c) join troupe.job j on j.id between u.f and u.f + u.c - 1;
  if found is distinct from p_jobs then -- some are gone, or they came in another order
    keys := array(select j.limit_key from unnest(p_jobs) with ordinality u(i, o)
                    left join troupe.job j on j.id = u.i order by u.o);
  end if;
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

-- firsts, counts and tries: the runs that jobs are all of; firsts is null when there are runs of which only
-- some are handed out.
drop function troupe.read_lane(text, int, int, int);
create function troupe.read_lane(p_queue text, p_lane int, p_limit int, p_looks int, out jobs bigint[],
                                 out attempts smallint[], out keys text[], out fresh text[], out looked int,
                                 out firsts bigint[], out counts int[], out tries smallint[])
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
  whole boolean := true;
  cut int := 0; -- not read off part: that is an error while nothing is assigned to it
begin
  jobs := '{}'; attempts := '{}'; keys := '{}'; fresh := '{}'; looked := 0;
  firsts := '{}'; counts := '{}'; tries := '{}';
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
      select * into part from troupe.sort_entries(p_queue, l.priority, runs.firsts, runs.counts, ids, ats,
                                                  p_limit - cardinality(jobs));
      jobs := jobs || part.jobs; attempts := attempts || part.attempts;
      keys := keys || part.keys; fresh := fresh || part.fresh;
      cut := part.cut;
      whole := whole and cardinality(part.jobs) = runs.got;
      firsts := firsts || runs.firsts; counts := counts || runs.counts; tries := tries || runs.attempts;
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
  if not whole then
    firsts := null;
  end if;
  update troupe.lane x
     set xact = l.xact, seq = l.seq, part = l.part, open = l.open, draining = l.draining,
         late_xact = l.late_xact, late_seq = l.late_seq, late_part = l.late_part,
         taken = taken + looked, served_at = clock_timestamp()
   where x.id = l.id and (looked > 0 or x.draining <> l.draining or x.open <> l.open);
end $$;

select troupe.edit_function('take_keyed', $old$
  names text[];
$old$, $new$
  names text[];
  firsts bigint[]; -- of the runs that are handed out whole; null: some are not
$new$);
select troupe.edit_function('take_keyed', $old$
        served := true;
$old$, $new$
        served := true;
        firsts := null;
$new$);
select troupe.edit_function('take_keyed', $old$
        touched := touched || part.fresh;
$old$, $new$
        touched := touched || part.fresh;
        firsts := part.firsts;
$new$);
select troupe.edit_function('take_keyed', $old$
  end if;
  return query
$old$, $new$
  end if;
  if firsts is not null then
    return query
      select lease_id, j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args,
             take_keyed.permits, take_keyed.permits_changed, true, j.retry
        from unnest(firsts, part.counts, part.tries) u(f, c, a)
        join troupe.job j on j.id between u.f and u.f + u.c - 1;
    return;
  end if;
  return query
$new$);
