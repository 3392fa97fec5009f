-- Searches: jobs by their tags, limit_key, time and args, which no index knows and none shall, for writing is to
-- stay fast. So they look at jobs one after the other, newest first, and a page says where it stopped. And
-- operations on many jobs take the same filter.

-- Whether a job fits what is wanted; null wants nothing. Becomes a part of the statement that calls it.
create function troupe.job_fits(want_queue text, want_kind text, want_tags text[], want_limit_key text,
                                want_from timestamptz, want_before timestamptz, want_args jsonb,
                                queue text, kind text, tags text[], limit_key text, created_at timestamptz, args jsonb)
returns boolean language sql immutable as $$
  select (want_queue is null or queue = want_queue)
     and (want_kind is null or kind = want_kind)
     and (want_from is null or created_at >= want_from)
     and (want_before is null or created_at < want_before)
     and (want_limit_key is null or limit_key = want_limit_key)
     and (want_tags is null or tags @> want_tags)
     and (want_args is null or args @> want_args);
$$;

-- An id from which on, up to p_below, no job is from before p_time, or p_below. Ids are given in the order of the
-- clock, while created_at is when a job's transaction began: it lags behind by as long as that was open. Of
-- transactions older than p_lag this may be wrong.
create function troupe.ids_since(p_time timestamptz, p_lag interval, p_below bigint) returns bigint
language plpgsql stable set plan_cache_mode = force_generic_plan set enable_bitmapscan = off set enable_seqscan = off
set jit = off as $$
declare
  near constant bigint := 500; -- ids that are not worth another step
  low bigint;
  top bigint := p_below;
  middle bigint;
  probe record;
begin
  select j.id, j.created_at into probe from troupe.job j where j.id < p_below order by j.id desc limit 1;
  if probe.id is null or probe.created_at < p_time + p_lag then
    return p_below;
  end if;
  top := probe.id;
  low := (select j.id from troupe.job j order by j.id limit 1);
  while top - low > near loop
    middle := low + (top - low) / 2;
    select j.id, j.created_at into probe from troupe.job j
      where j.id >= middle and j.id < top order by j.id limit 1;
    if probe.id is null or probe.created_at >= p_time + p_lag then
      top := middle;
    else
      low := probe.id;
    end if;
  end loop;
  return top;
end $$;

-- The jobs of one page of a search, newest first, below an id: at most p_limit of them among at most p_looks, and
-- none after p_patience, once some were looked at. `next`: the id below which to go on; null: there are no more.
create function troupe.find_jobs(p_state text, p_before bigint, p_queue text, p_kind text, p_tags text[],
                                 p_limit_key text, p_from timestamptz, p_until timestamptz, p_args jsonb,
                                 p_limit int, p_looks int, p_patience interval, out ids bigint[], out next bigint)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_bitmapscan = off set enable_hashjoin = off
set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  lag constant interval := '1 hour'; -- of transactions, see troupe.ids_since
  ends constant timestamptz := clock_timestamp() + p_patience;
  part int := least(2 * p_limit, 500); -- jobs at a time; a page that is full with the first costs the least
  low bigint := p_before;
  looked int := 0;
  got int;
  bottom bigint;
  oldest timestamptz;
  met bigint[];
begin
  ids := '{}';
  if p_state = 'pending' then -- none is, yet
    return;
  end if;
  if p_until is not null then
    low := troupe.ids_since(p_until, lag, low);
  end if;
  loop
    part := least(part, p_looks - looked);
    if p_state in ('scheduled', 'retryable', 'running', 'cancelled', 'discarded') then
      if p_state in ('scheduled', 'retryable') then
        met := array(select d.job_id from troupe.deferred d where d.job_id < low order by d.job_id desc limit part);
      elsif p_state = 'running' then
        met := array(select distinct u.i from troupe.lease l, unnest(l.jobs) u(i)
                      where u.i < low order by u.i desc limit part);
      else
        met := array(select a.job_id from troupe.attempt a
                      where a.outcome in (2, 3) and not a.reopened -- as their partial index says
                        and a.outcome = case p_state when 'cancelled' then 2 else 3 end
                        and a.job_id < low order by a.job_id desc limit part);
      end if;
      got := cardinality(met); bottom := met[got];
      select min(j.created_at), array_agg(j.id order by j.id desc) filter (
               where troupe.job_fits(p_queue, p_kind, p_tags, p_limit_key, p_from, p_until, p_args,
                                     j.queue, j.kind, j.tags, j.limit_key, j.created_at, j.args))
        into oldest, met from troupe.job j where j.id = any (met);
    else
      select count(*), min(x.id), min(x.created_at), array_agg(x.id order by x.id desc) filter (
               where troupe.job_fits(p_queue, p_kind, p_tags, p_limit_key, p_from, p_until, p_args,
                                     x.queue, x.kind, x.tags, x.limit_key, x.created_at, x.args))
        into got, bottom, oldest, met
        from (select * from troupe.job j where j.id < low order by j.id desc limit part) x;
    end if;
    if p_state is not null and met is not null then
      met := array(select s.id from troupe.standing(met) s where s.state = p_state order by s.id desc);
    end if;
    ids := ids || met;
    if cardinality(ids) >= p_limit then
      ids := ids[:p_limit]; next := ids[p_limit];
      return;
    end if;
    exit when got < part or oldest < p_from - lag; -- what is older is from before that, too
    looked := looked + got; low := bottom;
    if looked >= p_looks or clock_timestamp() >= ends then
      next := low;
      return;
    end if;
    part := least(2 * part, 1000);
  end loop;
end $$;

-- -- operations on many jobs -----------------------------------------------------------------------

-- `tag` and `created_after` are how `tags` and `created_from` were said before.
select troupe.edit_function('bulk_asked', $old$
    elsif jsonb_typeof(given) <> 'string' then$old$, $new$
    elsif field = 'tags' then
      fault := case when jsonb_typeof(given) <> 'array' then 'must be 1 to 10 texts of 1 to 255 bytes'
                    when jsonb_array_length(given) not between 1 and 10
                         or exists (select from jsonb_array_elements(given) g
                                     where jsonb_typeof(g) <> 'string'
                                        or octet_length(g #>> '{}') not between 1 and 255)
                      then 'must be 1 to 10 texts of 1 to 255 bytes' end;
    elsif field = 'args' then
      fault := case when jsonb_typeof(given) <> 'object' or given = '{}' or pg_column_size(given) > 8192
                    then 'must be an object with at least one member, of at most 8 kB' end;
    elsif jsonb_typeof(given) <> 'string' then$new$);
select troupe.edit_function('bulk_asked', $old$elsif field in ('created_after', 'created_before') then$old$,
  $new$elsif field in ('created_from', 'created_after', 'created_before') then$new$);
select troupe.edit_function('bulk_asked', 'state, queue, kind, tag, limit_key, created_after, created_before, all',
  'state, queue, kind, tags, limit_key, created_from, created_before, args, all');
select troupe.edit_function('bulk_asked', $old$k where k in ('created_after', 'created_before')$old$,
  $new$k
    where k in ('created_from', 'created_after', 'created_before')$new$);

select troupe.edit_function('bulk_fits', $old$
     and (p_filter ->> 'limit_key' is null$old$, $new$
     and (p_filter -> 'tags' is null or to_jsonb(tags) @> (p_filter -> 'tags'))
     and (p_filter ->> 'created_from' is null
          or created_at >= (p_filter ->> 'created_from')::timestamptz)
     and (p_filter ->> 'limit_key' is null$new$);

-- Args are looked at last, and only if they are asked for.
create function troupe.bulk_has_args(p_filter jsonb, p_job bigint) returns boolean language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_bitmapscan = off set enable_seqscan = off set jit = off as $$
begin
  return exists (select from troupe.job j where j.id = p_job and j.args @> (p_filter -> 'args'));
end $$;
select troupe.edit_function('bulk_range', $old$j.limit_key, j.created_at)
$old$, $new$j.limit_key, j.created_at)
       and (p_filter -> 'args' is null or j.args @> (p_filter -> 'args'))
$new$);
select troupe.edit_function('bulk_candidates', $old$s.limit_key, s.created_at));$old$,
  $new$s.limit_key, s.created_at)
           and (op.filter -> 'args' is null or troupe.bulk_has_args(op.filter, s.id)));$new$);
select troupe.edit_function('bulk_apply', $old$s.limit_key, s.created_at);$old$,
  $new$s.limit_key, s.created_at)
     and (op.filter -> 'args' is null or troupe.bulk_has_args(op.filter, s.id));$new$);
