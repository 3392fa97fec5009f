-- What holds a job that does not run: one reason, and the figures that belong to it. docs/queues.md
-- says what each means.

-- Queues that a node leaves to others, and if it leaves all but some, these. Of a worker by SQL nobody
-- knows: it may serve any.
alter table troupe.node
  add column skips text[] not null default '{}',
  add column serves text[];

-- How many entries of a queue go before this one: of better priorities, or put in earlier, counted up
-- to p_most. Entries have no index by job, so no more than that of each lane are looked at. Null: it is
-- none of these.
create function troupe.entries_ahead(p_job bigint, p_attempt smallint, p_queue text, p_priority smallint,
                                     p_most int, out ahead bigint, out more boolean)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  with entry as materialized (
    select l.priority, e.xact, e.seq, e.job_id, e.attempt
      from troupe.lane l cross join lateral (
        -- One writer at a time: `= any` is not sure to go by index, and behind the cursor lies all history.
        (select r.* from unnest(l.open) o(writer) cross join lateral (
           select x.* from troupe.ready x where x.lane = l.id and x.xact = o.writer limit p_most + 1) r
          limit p_most + 1)
        union all
        (select r.* from unnest(l.draining) o(writer) cross join lateral (
           select x.* from troupe.ready x
            where x.lane = l.id and x.xact = o.writer and (x.xact, x.seq) > (l.late_xact, l.late_seq)
            limit p_most + 1) r
          limit p_most + 1)
        union all
        (select r.* from troupe.ready r where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq)
          order by r.xact, r.seq limit p_most + 1)) e
     where l.queue = p_queue and l.priority <= p_priority),
  mine as (
    select e.* from entry e where e.job_id = p_job and e.attempt = p_attempt
     order by e.xact desc, e.seq desc limit 1),
  before as (
    select from entry e cross join mine m
     where (e.priority, e.xact, e.seq) < (m.priority, m.xact, m.seq)
       and not exists (select from troupe.revoked v
                        where v.job_id = e.job_id and v.attempt = e.attempt offset 0)
     limit p_most + 1)
  select case when exists (select from mine) then (select count(*) from before)
              when (select count(*) from entry) > p_most then p_most + 1 end
    into ahead;
  more := coalesce(ahead > p_most, false);
  ahead := least(ahead, p_most);
end $$;

-- When the next job may be handed out, by what of a rate is used up; null: at once, or there is none.
create function troupe.allowed_at(p_rate_at timestamptz, p_rate int, p_period_ms int, p_burst int)
returns timestamptz language sql stable as $$
  select x.at from (select p_rate_at - make_interval(secs => (p_burst - 1) * (p_period_ms / 1000.0 / p_rate))
                             as at) x
   where x.at > clock_timestamp();
$$;

-- How many jobs of the queue a node has got before this one of a lease and not ended; nodes start them
-- in this order.
create function troupe.runs_before(p_node bigint, p_queue text, p_lease bigint, p_job bigint)
returns bigint language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  return (
    select count(*)
      from troupe.lease l, unnest(l.jobs, l.attempts) with ordinality u(i, a, o)
      join troupe.job j on j.id = u.i
     where l.node = p_node and j.queue = p_queue
       and (l.id < p_lease
            or l.id = p_lease and u.o < (select array_position(m.jobs, p_job) from troupe.lease m
                                          where m.id = p_lease))
       and not exists (select from troupe.attempt t where t.job_id = u.i and t.attempt = u.a offset 0));
end $$;

-- The one thing that holds a job. state is that of troupe.jobs; what does not belong to the reason is
-- null. Counts up to 10,000.
create function troupe.why(
  job bigint, out id bigint, out state text, out reason text, out queue text, out kind text,
  out limit_key text, out node text, out since timestamptz, out due_at timestamptz, out allowed bigint,
  out in_use bigint, out ahead bigint, out more_ahead boolean, out nodes int, out error text)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
declare
  holder bigint;  -- node
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
    select n.name, l.taken_at, n.id, l.id into node, since, holder, its_lease
      from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a), troupe.node n
     where l.jobs @> array[why.job] and u.i = why.job and u.a = coalesce(last.attempt, 0) + 1
       and n.id = l.node
     limit 1;
    if found then
      state := 'running'; reason := 'running';
      if q.concurrency is not null then -- it may have been claimed ahead
        select coalesce(sum(p.permits), 0), sum(p.permits) filter (where p.node = holder)
          into total, own
          from troupe.permit p where p.queue = why.queue;
        ahead := troupe.runs_before(holder, why.queue, its_lease, why.job) - own;
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
  end if;
  ahead := least(ahead, most);
  reason := case when ahead = 0 then 'next' else 'turn' end;
end $$;
