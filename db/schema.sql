CREATE SCHEMA troupe;

CREATE FUNCTION troupe.add_node(p_name text) RETURNS bigint
    LANGUAGE sql
    AS $$
  insert into troupe.node (name) values (p_name) returning id;
$$;

CREATE FUNCTION troupe.adopt(p_node bigint, p_lease bigint) RETURNS TABLE(lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind text, args jsonb, queue text, retry jsonb, traceparent text)
    LANGUAGE sql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
  select l.id, j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args, j.queue, j.retry, j.meta ->> 'traceparent'
    from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a) join troupe.job j on j.id = u.i
   where l.id = p_lease and l.node = p_node
     and not exists (select from troupe.attempt t where t.job_id = u.i and t.attempt = u.a);
$$;

CREATE FUNCTION troupe.ages_of(p_queue text, OUT queue text, OUT completed_ms bigint, OUT cancelled_ms bigint, OUT discarded_ms bigint) RETURNS record
    LANGUAGE sql STABLE
    SET enable_seqscan TO 'off'
    AS $$
  select r.queue, (extract(epoch from r.completed) * 1000)::bigint, (extract(epoch from r.cancelled) * 1000)::bigint,
         (extract(epoch from r.discarded) * 1000)::bigint
    from troupe.retention r where r.queue = p_queue;
$$;

CREATE FUNCTION troupe.allowed_at(p_rate_at timestamp with time zone, p_rate integer, p_period_ms integer, p_burst integer) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    AS $$
  select x.at from (select p_rate_at - make_interval(secs => (p_burst - 1) * (p_period_ms / 1000.0 / p_rate))
                             as at) x
   where x.at > clock_timestamp();
$$;

CREATE FUNCTION troupe.attempts_of(p_jobs bigint[]) RETURNS TABLE(attempt smallint, outcome smallint, node text, started_at timestamp with time zone, finished_at timestamp with time zone, result jsonb, error text, job_id bigint)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  select a.attempt, a.outcome, coalesce(n.name, '') as node, a.started_at, a.finished_at, a.result, a.error, w.id
    from unnest(p_jobs) with ordinality w(id, o)
    cross join lateral (
      select * from troupe.attempt t where t.job_id = w.id order by t.attempt limit 2000) a
    left join troupe.node n on n.id = a.node
   order by w.o, a.attempt;
end $$;

CREATE FUNCTION troupe.beat(p_node bigint, p_late_ms double precision) RETURNS TABLE(alive boolean, dead bigint[], cancelled bigint[], leases bigint[], next_due_ms bigint, queues text[], paused text[], capped text[], caps integer[], draining boolean)
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  with old as (
    select id, heartbeat_at from troupe.node where id = p_node and ended_at is null),
  mine as (
    update troupe.node n set heartbeat_at = clock_timestamp() from old
     where n.id = old.id and n.ended_at is null
    returning old.heartbeat_at, n.wanted),
  held as materialized (select l.id, l.jobs, l.attempts from troupe.live_leases(p_node) l),
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
         array(select u.i from held l, unnest(l.jobs, l.attempts) u(i, a)
                where exists (select from troupe.revoked v
                               where v.job_id between (select min(j) from unnest(l.jobs) j)
                                                  and (select max(j) from unnest(l.jobs) j))
                  and exists (select from troupe.revoked v
                               where v.job_id = u.i and v.attempt = u.a offset 0)) as cancelled,
         array(select id from held order by id) as leases,
         (select ceil(extract(epoch from troupe.next_due() - clock_timestamp()) * 1000)::bigint) as next_due_ms,
         array(select distinct l.queue from troupe.lane_now l
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
         array(select s.most from share s order by s.queue) as caps,
         coalesce((select m.wanted is not null from mine m),
                  (select n.wanted is not null from troupe.node n where n.id = p_node), false) as draining;
  perform troupe.note_checkpoints();
end   $$;

CREATE FUNCTION troupe.beat_of_worker(p_node bigint, p_session bytea, p_token bigint, p_jobs bigint[], OUT cancelled bigint[], OUT lost bigint[], OUT put_back bigint[], OUT next_ms bigint, OUT steered text[], OUT wanted text) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  held bigint[];
begin
  perform troupe.check_worker(p_node, p_session, p_token);
  update troupe.node n set heartbeat_at = clock_timestamp() + n.patience
   where n.id = p_node and n.ended_at is null and n.heartbeat_at > '-infinity'
  returning n.wanted into wanted;
  if not found then -- while this waited for the row
    perform troupe.check_worker(p_node, p_session, p_token);
  end if;
  select array_agg(x.i) filter (where x.outcome is null),
         coalesce(array_agg(x.i) filter (where x.outcome = 2), '{}')
    into held, cancelled
    from (select u.i, (select t.outcome from troupe.attempt t where t.job_id = u.i and t.attempt = u.a)
            from troupe.live_leases(p_node) l, unnest(l.jobs, l.attempts) u(i, a)) x(i, outcome);
  lost := '{}'; put_back := '{}'; steered := '{}';
  if p_jobs is null then
    return;
  end if;
  cancelled := array(select c from unnest(cancelled) c where c in (select p from unnest(p_jobs) p));
  lost := array(select p from unnest(p_jobs) p
                 where p not in (select h from unnest(held) h) and p not in (select c from unnest(cancelled) c));
  select b.jobs, b.next_ms, b.steered into put_back, next_ms, steered
    from troupe.put_back(p_node, interval '10 s', p_jobs) b;
end $$;

CREATE FUNCTION troupe.begin_export(p_job bigint, p_attempt smallint) RETURNS jsonb
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS $$
begin
  return (select e.args from troupe.export e
           where e.job_id = p_job
             and not exists (select from troupe.attempt a where a.job_id = p_job and a.attempt = p_attempt));
end $$;

CREATE FUNCTION troupe.bulk(action text, filter jsonb DEFAULT NULL::jsonb, ids bigint[] DEFAULT NULL::bigint[], to_queue text DEFAULT NULL::text, to_priority integer DEFAULT NULL::integer, created_by text DEFAULT NULL::text) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_variable
declare
  most_running constant int := 100;
  op troupe.bulk_operation := troupe.bulk_asked(action, filter, ids, to_queue, to_priority);
  made bigint;
begin
  if (select count(*) from troupe.bulk_operation b where b.state = 'running') >= most_running then
    raise exception '% bulk operations are running; wait for one of them or cancel it', most_running
      using errcode = 'TR409';
  end if;
  insert into troupe.bulk_operation as b (up_to, priority, action, queue, created_by, filter, ids)
  values (op.up_to, op.priority, op.action, op.queue, coalesce(created_by, session_user), op.filter, op.ids)
  returning b.id into made;
  -- What ended long ago is forgotten.
  delete from troupe.bulk_operation b
   where b.id in (select x.id from troupe.bulk_operation x
                   where x.state <> 'running' and x.ended_at < now() - troupe.kept_for('bulk_operations')
                   order by x.ended_at limit 100 for update skip locked);
  return made;
end $$;

CREATE TABLE troupe.bulk_operation (
    id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    stepped_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    try_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    up_to bigint NOT NULL,
    reached bigint DEFAULT 0 NOT NULL,
    matched bigint DEFAULT 0 NOT NULL,
    changed bigint DEFAULT 0 NOT NULL,
    skipped bigint DEFAULT 0 NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    priority smallint,
    state text DEFAULT 'running'::text NOT NULL,
    action text NOT NULL,
    queue text,
    created_by text NOT NULL,
    filter jsonb DEFAULT '{}'::jsonb NOT NULL,
    ids bigint[],
    error text,
    CONSTRAINT bulk_operation_action_check CHECK ((action = ANY (ARRAY['cancel'::text, 'retry'::text, 'delete'::text, 'move'::text, 'reprioritise'::text]))),
    CONSTRAINT bulk_operation_priority_check CHECK (((priority >= 0) AND (priority <= 9))),
    CONSTRAINT bulk_operation_queue_check CHECK ((queue ~ '^[A-Za-z0-9._:-]{1,128}$'::text)),
    CONSTRAINT bulk_operation_state_check CHECK ((state = ANY (ARRAY['running'::text, 'done'::text, 'cancelled'::text])))
);

CREATE FUNCTION troupe.bulk_apply(op troupe.bulk_operation, p_jobs bigint[], p_reached bigint, OUT met bigint, OUT reached bigint, OUT changed bigint[], OUT running bigint[], OUT queues text[]) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
declare
  states constant text[] := troupe.bulk_states(op.action, op.filter ->> 'state');
  low constant bigint := p_jobs[1];
  high constant bigint := p_jobs[cardinality(p_jobs)];
  digests bytea[];
  held bigint[];
  deferred bigint[];
  busy bigint;
  jobs bigint[];
  available bigint[];
  entries smallint[]; -- the attempts that these wait for
  lanes int[];        -- where these may be
begin
  running := '{}'; changed := '{}'; queues := '{}'; reached := p_reached; met := cardinality(p_jobs);
  if op.action in ('retry', 'delete') then
    digests := array(select u.digest from unnest(p_jobs) g(i) cross join lateral (
                       select x.digest from troupe.unique_job x where x.job_id = g.i offset 0) u);
  elsif op.action = 'move' then
    select array_agg(d) into digests from troupe.keys_in(p_jobs, op.queue) k, unnest(array[k.digest, k.old]) d;
  end if;
  if digests <> '{}' then
    perform troupe.hold_keys(digests);
  end if;
  held := array(select j.id from troupe.job j
                 where j.id = any (p_jobs) and j.id between low and high order by j.id
                   for update skip locked);
  -- A statement of its own: what is not held is gone, or somebody's.
  select min(g.i) into busy
    from (select i from unnest(p_jobs) i except select i from unnest(held) i) g
   where exists (select from troupe.job j where j.id = g.i offset 0);
  if busy = low then
    raise exception 'job % is held by another transaction', busy using errcode = '55P03';
  elsif busy is not null then
    reached := busy - 1;
    met := array_position(p_jobs, busy) - 1;
    held := array(select i from unnest(held) i where i < busy order by i);
  end if;
  if digests <> '{}' and exists (
       select from troupe.unique_job u
        where u.job_id = any (held) and u.digest <> all (digests)
          and (op.action <> 'move' or u.rule is null or u.rule -> 'queue' = 'true')) then
    raise exception 'a unique key has changed meanwhile' using errcode = '40001';
  end if;
  deferred := array(select d.job_id from troupe.deferred d where d.job_id = any (held)
                     order by d.job_id for update);
  select array_agg(s.id order by s.id), array_agg(s.id order by s.id) filter (where s.state = 'available'),
         array_agg((s.attempt + 1)::smallint order by s.id) filter (where s.state = 'available')
    into jobs, available, entries
    from troupe.standing(held) s
   where s.state = any (states)
         -- Failed or put off at this moment: it is somebody else's yet.
     and (s.state not in ('scheduled', 'retryable') or s.id = any (deferred))
     and troupe.bulk_fits(op.filter, op.queue, op.priority, s.queue, s.kind, s.priority, s.tags,
                          s.limit_key, s.created_at)
     and (op.filter -> 'args' is null or troupe.bulk_has_args(op.filter, s.id));
  if op.action in ('delete', 'move', 'reprioritise') and available <> '{}' then
    lanes := array(
      select x.id from (select distinct s.queue, s.priority from troupe.standing(available) s) p
        join troupe.known_lane x on x.queue = p.queue and x.priority = p.priority order by x.id);
  end if;
  -- What a claim holds while it reads, a lane, is taken at the very end, to be in its way for a moment only. Who
  -- was handed out before has it all done again, the other way round.
  for round in 1..2 loop
    begin
      if round = 2 and lanes is not null then
        perform troupe.hold_lanes(lanes);
        jobs := array(select i from unnest(jobs) i where i <> all (available) order by i);
        select array_agg(s.id order by s.id), array_agg((s.attempt + 1)::smallint order by s.id)
          into available, entries from troupe.standing(available) s where s.state = 'available';
        jobs := jobs || available;
      end if;
      if jobs <> '{}' then
        if op.action = 'cancel' then
          select c.changed, c.running into changed, running from troupe.cancel_jobs(jobs, states) c;
        elsif op.action = 'retry' then
          changed := troupe.retry_jobs(jobs, low, high);
        elsif op.action = 'delete' then
          changed := troupe.delete_jobs(jobs, low, high, available, entries);
        else
          changed := troupe.move_jobs(jobs, low, high, available, entries, op.queue, op.priority,
                                      case op.action when 'move' then 'moved while it waited'
                                                     else 'reprioritised while it waited' end);
        end if;
      end if;
      if round = 1 and lanes is not null then
        perform troupe.hold_lanes(lanes);
        -- A statement of its own, to see the leases of the claims that were waited for, and what has run by
        -- them and was ended since. A job that is moved has an attempt of that number here.
        if exists (select from troupe.leased_of(available) l
                     join unnest(available, entries) e(i, a) on e.i = l.job_id and e.a = l.attempt)
           or op.action = 'delete'
              and exists (select from troupe.attempt a where a.job_id = any (available)
                                                         and a.job_id between low and high) then
          raise exception using errcode = 'TR499';
        end if;
      end if;
      exit;
    exception when sqlstate 'TR499' or unique_violation then
      if round = 2 then
        raise;
      end if;
      changed := '{}';
    end;
  end loop;
  perform troupe.drop_parked(changed);
  if digests <> '{}' then
    delete from troupe.unique_key k where k.job_id = 0 and k.digest = any (digests);
  end if;
  if op.action in ('retry', 'move', 'reprioritise') then
    queues := array(select distinct s.queue from troupe.standing(changed) s);
  end if;
end $$;

CREATE FUNCTION troupe.bulk_asked(p_action text, p_filter jsonb, p_ids bigint[], p_to_queue text, p_to_priority integer) RETURNS troupe.bulk_operation
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  most_ids constant int := 10000;
  name constant text := '^[A-Za-z0-9._:-]{1,128}$';
  f constant jsonb := coalesce(p_filter, '{}');
  op troupe.bulk_operation;
  field text;
  given jsonb;
  at timestamptz;
  fault text;
begin
  fault := case
    when (p_action in ('cancel', 'retry', 'delete', 'move', 'reprioritise')) is not true
      then 'action must be cancel, retry, delete, move or reprioritise'
    when jsonb_typeof(f) <> 'object' then 'filter must be an object'
    when p_ids is not null and f <> '{}' then 'ids and filter exclude each other'
    when p_ids is null and f = '{}' then 'filter must not be empty: say "all": true to mean every job'
    when cardinality(p_ids) not between 1 and most_ids or array_position(p_ids, null) is not null
      then 'ids must be 1 to ' || most_ids || ' ids'
    when (p_to_queue is not null) <> (p_action = 'move')
      then case when p_action = 'move' then 'to.queue is missing' else 'to.queue goes with move only' end
    when p_to_queue !~ name then 'to.queue must be 1 to 128 of A-Z a-z 0-9 . _ : -'
    when p_to_queue ^@ 'troupe.' then 'to.queue must not begin with "troupe.": such queues are the engine''s own'
    when p_action = 'reprioritise' and p_to_priority is null then 'to.priority is missing'
    when p_to_priority is not null and p_action not in ('move', 'reprioritise')
      then 'to.priority goes with move and reprioritise only'
    when p_to_priority not between 0 and 9 then 'to.priority must be 0 to 9'
  end;
  if fault is not null then
    raise exception '%', fault using errcode = 'TR400';
  end if;
  for field, given in select * from jsonb_each(f) loop
    if field = 'all' then
      fault := case when given <> 'true' then 'must be true' end;
    elsif field = 'tags' then
      fault := case when jsonb_typeof(given) <> 'array' then 'must be 1 to 10 texts of 1 to 255 bytes'
                    when jsonb_array_length(given) not between 1 and 10
                         or exists (select from jsonb_array_elements(given) g
                                     where jsonb_typeof(g) <> 'string'
                                        or octet_length(g #>> '{}') not between 1 and 255)
                      then 'must be 1 to 10 texts of 1 to 255 bytes' end;
    elsif field = 'args' then
      fault := case when jsonb_typeof(given) <> 'object' or given = '{}' or pg_column_size(given) > 32768
                    then 'must be an object with at least one member, of at most 32 kB' end;
    elsif jsonb_typeof(given) <> 'string' then
      fault := 'must be a text';
    elsif field in ('queue', 'kind') then
      fault := case when given #>> '{}' !~ name then 'must be 1 to 128 of A-Z a-z 0-9 . _ : -' end;
    elsif field = 'tag' then
      fault := case when octet_length(given #>> '{}') not between 1 and 255 then 'must have 1 to 255 bytes' end;
    elsif field = 'limit_key' then
      fault := case when octet_length(given #>> '{}') not between 1 and 128 then 'must have 1 to 128 bytes' end;
    elsif field = 'state' then
      fault := case
        when given #>> '{}' <> all ('{pending,scheduled,available,running,retryable,completed,cancelled,discarded}')
          then 'must be a state of jobs'
        when given #>> '{}' <> all (troupe.bulk_states(p_action, null))
             and not (p_action = 'cancel' and given = '"running"')
          then format('must be one in which a job can be changed by %s: %s', p_action,
                      array_to_string(troupe.bulk_states(p_action, null), ', ')) end;
    elsif field in ('created_from', 'created_after', 'created_before') then
      begin
        at := (given #>> '{}')::timestamptz;
      exception when others then
        fault := 'must be a time';
      end;
    else
      raise exception 'filter.%: no such field; there are state, queue, kind, tags, limit_key, created_from, created_before, args, all',
        left(field, 64) using errcode = 'TR400';
    end if;
    if fault is not null then
      raise exception 'filter.% %', field, fault using errcode = 'TR400';
    end if;
  end loop;
  if p_action = 'retry' and p_ids is null and f ->> 'state' is null then
    raise exception 'filter.state is missing: what has completed would be run again, too' using errcode = 'TR400';
  end if;
  op.action := p_action; op.filter := f; op.queue := p_to_queue; op.priority := p_to_priority;
  op.reached := 0;
  -- Times as they are meant now, whatever the time zone of who goes on with it.
  for field in select k from jsonb_object_keys(f) k
    where k in ('created_from', 'created_after', 'created_before') loop
    op.filter := op.filter || jsonb_build_object(
      field, to_char((f ->> field)::timestamptz at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
  end loop;
  if p_ids is null then
    op.up_to := (select case when is_called then last_value else 0 end from troupe.job_id_seq);
  else
    op.ids := array(select distinct i from unnest(p_ids) i order by i);
    op.up_to := op.ids[cardinality(op.ids)];
  end if;
  return op;
end $_$;

CREATE FUNCTION troupe.bulk_candidates(op troupe.bulk_operation, p_limit integer, p_looks integer, OUT jobs bigint[], OUT reached bigint, OUT looked integer) RETURNS record
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  states constant text[] := troupe.bulk_states(op.action, op.filter ->> 'state');
  part constant int := 500; -- rows at a time
  ends constant timestamptz := clock_timestamp() + interval '1 second'; -- not for the first part
  met bigint[];
  top bigint;
  got int;
begin
  jobs := '{}'; reached := op.reached; looked := 0;
  if op.ids is not null then
    jobs := array(select i from unnest(op.ids) i where i > op.reached order by i limit p_limit);
    looked := cardinality(jobs);
    reached := case when looked = p_limit then jobs[looked] else op.up_to end;
    return;
  end if;
  while cardinality(jobs) < p_limit and looked < p_looks and reached < op.up_to
        and (looked = 0 or clock_timestamp() < ends) loop
    met := null;
    if states <@ '{scheduled,retryable}' then
      met := array(select d.job_id from troupe.deferred d
                     where d.job_id > reached and d.job_id <= op.up_to order by d.job_id limit part);
      top := met[cardinality(met)]; got := cardinality(met);
    elsif states = '{running}' then
      met := array(select distinct u.i from troupe.lease l, unnest(l.jobs) u(i)
                     where u.i > reached and u.i <= op.up_to order by u.i limit part);
      top := met[cardinality(met)]; got := cardinality(met);
    elsif cardinality(states) = 1 and states <@ '{cancelled,discarded}' then
      met := array(select a.job_id from troupe.attempt a
                     where a.outcome in (2, 3) and not a.reopened -- as their partial index says
                       and a.outcome = case states[1] when 'cancelled' then 2 else 3 end
                       and a.job_id > reached and a.job_id <= op.up_to order by a.job_id limit part);
      top := met[cardinality(met)]; got := cardinality(met);
    else
      select max(x.id), count(*) into top, got
        from (select j.id from troupe.job j where j.id > reached and j.id <= op.up_to
               order by j.id limit part) x;
    end if;
    looked := looked + got;
    top := case when got = part then top else op.up_to end;
    if met is null then
      jobs := jobs || troupe.bulk_range(reached, top, states, op.filter, op.queue, op.priority);
    elsif got > 0 then
      jobs := jobs || array(
        select s.id from troupe.standing(met) s
         where s.state = any (states)
           and troupe.bulk_fits(op.filter, op.queue, op.priority, s.queue, s.kind, s.priority, s.tags,
                                s.limit_key, s.created_at)
           and (op.filter -> 'args' is null or troupe.bulk_has_args(op.filter, s.id)));
    end if;
    reached := top;
  end loop;
  if cardinality(jobs) > p_limit then
    jobs := jobs[:p_limit];
    reached := jobs[p_limit];
  end if;
end $$;

CREATE FUNCTION troupe.bulk_fits(p_filter jsonb, p_to_queue text, p_to_priority smallint, queue text, kind text, priority smallint, tags text[], limit_key text, created_at timestamp with time zone) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  select (p_filter ->> 'queue' is null or queue = p_filter ->> 'queue')
     and (p_filter ->> 'kind' is null or kind = p_filter ->> 'kind')
     and (p_filter ->> 'tag' is null or tags @> array[p_filter ->> 'tag'])
     and (p_filter -> 'tags' is null or to_jsonb(tags) @> (p_filter -> 'tags'))
     and (p_filter ->> 'created_from' is null
          or created_at >= (p_filter ->> 'created_from')::timestamptz)
     and (p_filter ->> 'limit_key' is null or limit_key = p_filter ->> 'limit_key')
     and (p_filter ->> 'created_after' is null
          or created_at >= (p_filter ->> 'created_after')::timestamptz)
     and (p_filter ->> 'created_before' is null
          or created_at < (p_filter ->> 'created_before')::timestamptz)
     and (p_to_queue is null and p_to_priority is null
          or queue <> p_to_queue or priority <> p_to_priority);
$$;

CREATE FUNCTION troupe.bulk_has_args(p_filter jsonb, p_job bigint) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  return exists (select from troupe.job j where j.id = p_job and j.args @> (p_filter -> 'args'));
end $$;

CREATE FUNCTION troupe.bulk_once(action text, filter jsonb, ids bigint[], to_queue text, to_priority integer, created_by text, p_key text, OUT operation bigint, OUT use smallint) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS $$
#variable_conflict use_variable
declare
  print constant bytea := sha256(convert_to(
    'bulk ' || jsonb_build_array(action, filter, ids, to_queue, to_priority)::text, 'UTF8'));
begin
  use := 0;
  if p_key is not null then
    select r.uses[1] into use from troupe.open_requests(array[p_key], array[print]) r;
    if use in (2, 3) then
      operation := (select i.ids[1] from troupe.idempotency i where i.key = p_key and use = 2);
      return;
    end if;
  end if;
  operation := troupe.bulk(action, filter, ids, to_queue, to_priority, created_by);
  if p_key is not null then
    perform troupe.close_requests(array[p_key], array[1], array[use], array[operation], array[0]::smallint[]);
  end if;
end $$;

CREATE FUNCTION troupe.bulk_preview(action text, filter jsonb DEFAULT NULL::jsonb, ids bigint[] DEFAULT NULL::bigint[], to_queue text DEFAULT NULL::text, to_priority integer DEFAULT NULL::integer, OUT matched bigint, OUT more boolean, OUT sample bigint[]) RETURNS record
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_variable
declare
  op troupe.bulk_operation := troupe.bulk_asked(action, filter, ids, to_queue, to_priority);
  looks int := 200000;
  ends constant timestamptz := clock_timestamp() + interval '3 seconds';
  part record;
begin
  matched := 0; sample := '{}';
  loop
    select * into part from troupe.bulk_candidates(op, 2000, least(looks, 20000));
    if op.ids is not null then
      part.jobs := array(
        select s.id from troupe.standing(part.jobs) s
         where s.state = any (troupe.bulk_states(op.action, null))
           and troupe.bulk_fits(op.filter, op.queue, op.priority, s.queue, s.kind, s.priority, s.tags,
                                s.limit_key, s.created_at));
    end if;
    sample := sample || part.jobs[:10 - cardinality(sample)];
    matched := matched + cardinality(part.jobs);
    looks := looks - greatest(part.looked, 1);
    op.reached := part.reached;
    exit when op.reached >= op.up_to or looks <= 0 or matched > 10000 or clock_timestamp() >= ends;
  end loop;
  more := op.reached < op.up_to;
  if matched > 10000 then
    matched := 10000;
    more := true;
  end if;
end $$;

CREATE FUNCTION troupe.bulk_range(p_after bigint, p_to bigint, p_states text[], p_filter jsonb, p_queue text, p_priority smallint) RETURNS bigint[]
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  return array(
    with leased as materialized (
      select u.i, u.a from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
       where u.i > p_after and u.i <= p_to),
    done as materialized (
      select a.job_id, a.attempt, a.outcome, a.reopened from troupe.attempt a
       where a.job_id > p_after and a.job_id <= p_to)
    select j.id
      from troupe.job j
      left join (select d.job_id, d.outcome from done d where d.outcome in (1, 2, 3) and not d.reopened) a
             on a.job_id = j.id
      left join (select d.job_id, d.reason from troupe.deferred d
                  where d.job_id > p_after and d.job_id <= p_to) d on d.job_id = j.id
      left join (select distinct x.i from leased x left join done d on d.job_id = x.i and d.attempt = x.a
                  where d.job_id is null) r on r.i = j.id
     where j.id > p_after and j.id <= p_to
       and case when d.job_id is not null then case d.reason when 2 then 'retryable' else 'scheduled' end
                when a.job_id is not null then (array['completed', 'cancelled', 'discarded'])[a.outcome]
                when r.i is not null then 'running'
                else 'available' end = any (p_states)
       and troupe.bulk_fits(p_filter, p_queue, p_priority, j.queue, j.kind, j.priority, j.tags,
                            j.limit_key, j.created_at)
       and (p_filter -> 'args' is null or j.args @> (p_filter -> 'args'))
     order by j.id);
end $$;

CREATE FUNCTION troupe.bulk_states(p_action text, p_state text) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    AS $$
  select case when p_state is not null then array[p_state]
              when p_action = 'cancel' then '{scheduled,available,running,retryable}'
              when p_action = 'retry' then '{scheduled,retryable,completed,cancelled,discarded}'
              when p_action = 'delete'
                then '{scheduled,available,retryable,completed,cancelled,discarded}'
              else '{scheduled,available,retryable}' end::text[];
$$;

CREATE FUNCTION troupe.bulk_step(p_limit integer DEFAULT 1000, p_looks integer DEFAULT 20000, OUT operation bigint, OUT action text, OUT state text, OUT matched bigint, OUT changed bigint, OUT queues text[], OUT running bigint[], OUT error text) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '300ms'
    AS $$
declare
  op troupe.bulk_operation;
  part record;
  done record;
begin
  matched := 0; changed := 0; queues := '{}'; running := '{}';
  -- One snapshot for all statements would not show what was committed before the locks came.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'steps of bulk operations are for read committed' using errcode = 'TR400';
  end if;
  select * into op from troupe.bulk_operation b
    where b.state = 'running' and b.try_at <= clock_timestamp()
    order by b.stepped_at, b.id limit 1 for update skip locked;
  if not found then
    return;
  end if;
  operation := op.id; action := op.action;
  begin
    p_limit := greatest(1, p_limit >> least(op.failures, 6));
    select * into part from troupe.bulk_candidates(op, p_limit, p_looks);
    if part.jobs <> '{}' then
      select * into done from troupe.bulk_apply(op, part.jobs, part.reached);
      matched := done.met; changed := cardinality(done.changed);
      queues := done.queues; running := done.running;
      part.reached := done.reached;
    end if;
    state := case when part.reached >= op.up_to then 'done' else 'running' end;
    update troupe.bulk_operation b
       set reached = part.reached, state = bulk_step.state, matched = b.matched + bulk_step.matched,
           changed = b.changed + bulk_step.changed,
           skipped = b.skipped + bulk_step.matched - bulk_step.changed, failures = 0, error = null,
           stepped_at = clock_timestamp(),
           ended_at = case when part.reached >= op.up_to then clock_timestamp() end
     where b.id = op.id;
  exception when query_canceled or others then
    get stacked diagnostics error = message_text;
    matched := 0; changed := 0; queues := '{}'; running := '{}'; state := 'running';
    update troupe.bulk_operation b
       set failures = b.failures + 1, error = bulk_step.error, stepped_at = clock_timestamp(),
           try_at = clock_timestamp() + least(60, 2 ^ least(b.failures, 6)) * interval '1 second'
     where b.id = op.id;
  end;
end $$;

CREATE FUNCTION troupe.cancel(p_job bigint) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  current smallint;
begin
  perform from troupe.job where id = p_job for update;
  for tries in 1..100 loop -- an attempt that ends at this moment makes its successor the current one
    current := troupe.current_attempt(p_job);
    insert into troupe.attempt (job_id, attempt, outcome, node, started_at)
    select p_job, current, 2, r.node, r.taken_at
      from (select) one
      left join lateral (
        select l.node, l.taken_at from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
         where l.jobs @> array[p_job] and u.i = p_job and u.a = current
         limit 1) r on true
    on conflict do nothing;
    if found then
      insert into troupe.tally (queue, state, jobs) select j.queue, 2, 1 from troupe.job j where j.id = p_job;
      delete from troupe.deferred where job_id = p_job;
      if not found then
        insert into troupe.revoked (job_id, attempt, queue, priority)
        select p_job, current, j.queue, j.priority from troupe.job j where j.id = p_job
        on conflict do nothing;
      end if;
      if exists (select from troupe.crawl c where c.job_id = p_job and not c.closed) then
        perform troupe.close_crawl(p_job); -- its pages go with it, whoever cancels it
      end if;
      return;
    end if;
  end loop;
  raise exception 'job % changes too fast to be cancelled', p_job using errcode = '40001';
end $$;

CREATE FUNCTION troupe.cancel_bulk(operation bigint) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  was text;
begin
  select b.state into was from troupe.bulk_operation b where b.id = operation for update;
  if not found then
    raise exception 'there is no bulk operation %', operation using errcode = 'TR404';
  elsif was <> 'running' then
    raise exception 'bulk operation % is already %', operation, was using errcode = 'TR409';
  end if;
  update troupe.bulk_operation b set state = 'cancelled', ended_at = clock_timestamp() where b.id = operation;
end $$;

CREATE FUNCTION troupe.cancel_jobs(p_jobs bigint[], p_states text[], OUT changed bigint[], OUT running bigint[]) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  todo bigint[] := p_jobs;
  made bigint[];
  ran bigint[];
  one bigint;
begin
  changed := '{}'; running := '{}';
  for tries in 1..100 loop -- an attempt that ends at this moment makes its successor the current one
    with now as materialized (
      select s.* from troupe.standing(todo) s where s.state = any (p_states)),
    ended as (
      insert into troupe.attempt (job_id, attempt, outcome, node, started_at)
      select n.id, n.attempt + 1, 2, n.node, n.taken_at from now n
      on conflict do nothing
      returning job_id),
    counted as (
      insert into troupe.tally (queue, state, jobs)
      select n.queue, 2, count(*) from ended e join now n on n.id = e.job_id group by n.queue)
    select coalesce(array_agg(n.id) filter (where e.job_id is not null), '{}'),
           coalesce(array_agg(n.id) filter (where e.job_id is not null and n.state = 'running'), '{}'),
           array_agg(n.id) filter (where e.job_id is null)
      into made, ran, todo
      from now n left join ended e on e.job_id = n.id;
    changed := changed || made;
    running := running || ran;
    exit when todo is null;
  end loop;
  with gone as (
    delete from troupe.deferred d where d.job_id = any (changed) returning d.job_id)
  insert into troupe.revoked (job_id, attempt, queue, priority)
  select s.id, s.attempt, s.queue, s.priority from troupe.standing(changed) s
   where not exists (select from gone g where g.job_id = s.id)
  on conflict do nothing;
  for one in select c.job_id from troupe.crawl c where c.job_id = any (changed) and not c.closed order by 1 loop
    perform troupe.close_crawl(one);
  end loop;
end $$;

CREATE FUNCTION troupe.change_ages(p_queue text, p_changes boolean[], p_ms bigint[], OUT queue text, OUT completed_ms bigint, OUT cancelled_ms bigint, OUT discarded_ms bigint, OUT changed jsonb) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS $$
#variable_conflict use_column
declare
  ages interval[];
begin
  perform from troupe.retention r where r.queue = '' for update;
  changed := troupe.told_ages(p_queue);
  select array[r.completed, r.cancelled, r.discarded] into ages
    from troupe.retention r where r.queue in ('', p_queue) order by r.queue desc limit 1;
  for i in 1..3 loop
    if p_changes[i] then
      ages[i] := p_ms[i] * interval '1 millisecond';
    end if;
  end loop;
  perform troupe.retain(ages[1], ages[2], ages[3], nullif(p_queue, ''));
  select a.* into queue, completed_ms, cancelled_ms, discarded_ms from troupe.ages_of(p_queue) a;
  changed := troupe.differences(changed, troupe.told_ages(p_queue));
end $$;

CREATE FUNCTION troupe.change_lanes(p_jobs bigint[], p_queues text[], p_priorities smallint[], p_available bigint[], p_entries smallint[], p_note text) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  lanes int[];
  heads bigint[]; -- which stay where they are
  away bigint[];
begin
  lanes := array(select l.lane from unnest(p_jobs) with ordinality g(i, o)
                   join troupe.lanes_of(p_jobs) l on l.job_id = g.i order by g.o);
  update troupe.deferred d set lane = x.lane from unnest(p_jobs, lanes) x(i, lane) where d.job_id = x.i;
  heads := troupe.heads_among(p_queues, p_jobs);
  if heads <> '{}' then
    away := array(select x.i from unnest(p_jobs, p_queues) x(i, q) join troupe.job j on j.id = x.i
                   where x.i = any (heads) and j.queue <> x.q);
    perform troupe.leave_place(p_queues, away);
    heads := array(select i from unnest(heads) i where i <> all (away));
  end if;
  with moved as materialized (
    select x.i, x.q, x.p, x.lane, e.a from unnest(p_jobs, p_queues, p_priorities, lanes) x(i, q, p, lane)
      join unnest(p_available, p_entries) e(i, a) on e.i = x.i
     where x.i <> all (heads)),
  noted as (
    insert into troupe.attempt (job_id, attempt, outcome, reopened, error)
    select m.i, m.a, 2, true, p_note from moved m),
  taken as (
    insert into troupe.revoked (job_id, attempt, queue, priority)
    select m.i, m.a, m.q, m.p from moved m on conflict do nothing)
  insert into troupe.ready (lane, job_id, attempt)
  select m.lane, m.i, m.a + 1 from moved m order by m.i;
  perform troupe.wake(array(select j.queue from troupe.job j where j.id = any (p_available)));
end $$;

CREATE FUNCTION troupe.check_limit(p_argument text, p_value integer, p_most integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  if p_value not between 1 and p_most then
    raise exception '% must be 1 to %, or null for no limit', p_argument, p_most using errcode = 'TR400';
  end if;
end $$;

CREATE FUNCTION troupe.check_own_queue(p_queue text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  if p_queue ^@ 'troupe.' then
    raise exception 'queue must not begin with "troupe.": such queues are the engine''s own' using errcode = 'TR400';
  end if;
end $$;

CREATE FUNCTION troupe.check_queue_name(p_queue text) RETURNS void
    LANGUAGE plpgsql
    AS $_$
begin
  if p_queue is null or p_queue !~ '^[A-Za-z0-9._:-]{1,128}$' then
    raise exception 'queue must be 1 to 128 of A-Z a-z 0-9 . _ : -' using errcode = 'TR400';
  end if;
end $_$;

CREATE FUNCTION troupe.check_rate(p_jobs integer, p_period_ms integer, p_burst integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform troupe.check_limit('jobs', p_jobs, 1000000);
  perform troupe.check_limit('period_ms', p_period_ms, 86400000);
  perform troupe.check_limit('burst', p_burst, 1000000);
  if num_nulls(p_jobs, p_period_ms, p_burst) not in (0, 3) then
    raise exception 'jobs, period_ms and burst must be given together, or all be null for no limit'
      using errcode = 'TR400';
  elsif p_jobs > 1000::bigint * p_period_ms then
    raise exception 'jobs must be at most 1000 for each ms of period_ms' using errcode = 'TR400';
  end if;
end $$;

CREATE FUNCTION troupe.check_retries(p_retries jsonb[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS $$
begin
  perform troupe.check_retry(d.r) from (select distinct r from unnest(p_retries) r where r is not null) d;
end $$;

CREATE FUNCTION troupe.check_retry(p_retry jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS $$
declare
  most constant bigint := 315360000000;
  policy constant text := case jsonb_typeof(p_retry) when 'object' then p_retry ->> 'policy' end;
  allowed constant text[] := case policy when 'exponential' then '{policy,base_ms,max_ms,jitter_percent}'
    when 'fixed' then '{policy,delay_ms}' when 'list' then '{policy,delays_ms}' when 'none' then '{policy}' end;
  name text;
  given jsonb;
  fault text;
begin
  if jsonb_typeof(p_retry) is distinct from 'object' then
    raise exception 'retry must be an object' using errcode = 'TR400';
  elsif allowed is null then
    raise exception 'retry.policy must be exponential, fixed, list or none' using errcode = 'TR400';
  end if;
  for name, given in select * from jsonb_each(p_retry) loop
    fault := case
      when name = 'policy' then null
      when name <> all (allowed) then
        format('no such field; %s has %s', policy, array_to_string(allowed, ', '))
      when name = 'delays_ms' then case when not case jsonb_typeof(given)
          when 'array' then jsonb_array_length(given) between 1 and 32
            and not exists (select from jsonb_array_elements(given) d where not troupe.is_whole(d, most))
          else false end then format('must be 1 to 32 integers from 0 to %s', most) end
      when name = 'jitter_percent' then case
        when not troupe.is_whole(given, 100) then 'must be an integer from 0 to 100' end
      when not troupe.is_whole(given, most) then format('must be an integer from 0 to %s', most) end;
    if fault is not null then
      raise exception 'retry.%: %', left(name, 64), fault using errcode = 'TR400';
    end if;
  end loop;
  if policy = 'fixed' and not p_retry ? 'delay_ms' then
    raise exception 'retry.delay_ms: is required' using errcode = 'TR400';
  elsif policy = 'list' and not p_retry ? 'delays_ms' then
    raise exception 'retry.delays_ms: is required' using errcode = 'TR400';
  elsif policy = 'exponential' and coalesce((p_retry ->> 'max_ms')::numeric, 21600000)
                                   < coalesce((p_retry ->> 'base_ms')::numeric, 1000) then
    raise exception 'retry.max_ms: must not be less than base_ms' using errcode = 'TR400';
  end if;
end $$;

CREATE FUNCTION troupe.check_unique(p_unique jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS $$
declare
  name text;
  given jsonb;
  fits boolean;
begin
  if jsonb_typeof(p_unique) <> 'object' then
    raise exception 'unique must be an object' using errcode = 'TR400';
  end if;
  for name, given in select * from jsonb_each(p_unique) loop
    if name = 'queue' then
      fits := jsonb_typeof(given) = 'boolean';
    elsif name = 'args' and jsonb_typeof(given) = 'array' then
      fits := jsonb_array_length(given) between 1 and 32
              and not exists (select from jsonb_array_elements(given) f
                               where jsonb_typeof(f) <> 'string'
                                  or octet_length(f #>> '{}') not between 1 and 255);
    elsif name = 'args' then
      fits := jsonb_typeof(given) = 'boolean';
    elsif name = 'period_ms' then
      fits := jsonb_typeof(given) = 'number';
      fits := fits and given::numeric = trunc(given::numeric)
              and given::numeric between 1 and 315360000000;
    elsif name = 'states' then
      fits := jsonb_typeof(given) = 'array';
      fits := fits and given <> '[]'
              and given <@ '["pending", "scheduled", "available", "running", "retryable", "completed",
                             "cancelled", "discarded"]';
    elsif name = 'on_conflict' then
      fits := given in ('"reject"', '"existing"', '"replace"');
    else
      raise exception 'unique.%: no such field; there are queue, args, period_ms, states, on_conflict',
        left(name, 64) using errcode = 'TR400';
    end if;
    if not fits then
      raise exception 'unique.% must be %', name, case name
          when 'queue' then 'true or false'
          when 'args' then 'true, false or 1 to 32 names of fields of at most 255 bytes'
          when 'period_ms' then 'an integer from 1 to 315360000000'
          when 'states' then 'an array of at least one state'
          else 'reject, existing or replace' end
        using errcode = 'TR400';
    end if;
  end loop;
end $$;

CREATE FUNCTION troupe.check_worker(p_node bigint, p_session bytea, p_token bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform from troupe.node n
    where n.id = p_node and n.session = p_session and n.token is not distinct from p_token
      and n.ended_at is null and n.heartbeat_at > '-infinity';
  if not found then
    raise exception 'there is no such worker, or not any more: join anew' using errcode = 'TR410';
  end if;
end $$;

CREATE FUNCTION troupe.claim(p_node bigint, p_queue text, p_limit integer, p_slots integer DEFAULT NULL::integer, p_held integer DEFAULT 0) RETURNS TABLE(lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind text, args jsonb, permits integer, permits_changed bigint)
    LANGUAGE plpgsql
    AS $$
begin
  perform troupe.check_own_queue(p_queue);
  return query
  select t.lease, t.job_id, t.attempt, t.max_attempts, t.timeout_ms, t.kind, t.args, t.permits,
         t.permits_changed
    from troupe.take(p_node, p_queue, p_limit, p_slots, p_held) t where t.lease is not null;
end $$;

CREATE FUNCTION troupe.claim_by_worker(p_node bigint, p_session bytea, p_token bigint, p_queue text, p_limit integer) RETURNS TABLE(lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind text, args jsonb, priority smallint, tags text[], limit_key text, created_at timestamp with time zone, wait_ms bigint, again boolean, traceparent text)
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
declare
  most constant bigint := 16777216;
  serves text[];
  asked text;
  c record;
  bytes bigint := 0;
  leases bigint[] := '{}';
  jobs bigint[] := '{}';
  attempts smallint[] := '{}';
begin
  perform troupe.check_worker(p_node, p_session, p_token);
  select n.serves, n.wanted into serves, asked from troupe.node n where n.id = p_node;
  if p_queue <> all (serves) then
    raise exception 'queues: the worker has not joined for %', p_queue using errcode = 'TR400';
  elsif asked is not null then
    return next;
    return;
  end if;
  for c in
    select t.*, j.priority, j.tags, j.limit_key, j.created_at
      from (select) as once
      left join troupe.take(p_node, p_queue, p_limit) t on true
      left join troupe.job j on j.id = t.job_id
  loop
    if p_limit > 16 then
      bytes := bytes + coalesce(octet_length(c.args::text), 0);
    end if;
    if bytes > most then
      leases := leases || c.lease; jobs := jobs || c.job_id; attempts := attempts || c.attempt;
      continue;
    end if;
    lease := c.lease; job_id := c.job_id; attempt := c.attempt; max_attempts := c.max_attempts;
    timeout_ms := c.timeout_ms; kind := c.kind; args := c.args; priority := c.priority; tags := c.tags;
    limit_key := c.limit_key; created_at := c.created_at; again := c.again; traceparent := c.traceparent;
    if c.job_id is null then
      wait_ms := troupe.claim_wait_ms(p_queue);
    end if;
    return next;
  end loop;
  if jobs <> '{}' then
    perform troupe.end_runs(p_node, leases, jobs, attempts,
                            array_fill(6::smallint, array[cardinality(jobs)]),
                            array_fill(null::jsonb, array[cardinality(jobs)]),
                            array_fill(null::text, array[cardinality(jobs)]),
                            array_fill(0::bigint, array[cardinality(jobs)]));
  end if;
end $$;

CREATE FUNCTION troupe.claim_wait_ms(p_queue text) RETURNS bigint
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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
                       where t.queue = p_queue and t.generation = (troupe.key_state_of(p_queue)).generation
                         and t.due_at > '-infinity'
                       order by t.due_at limit 1), 0);
  end if;
  return wait;
end $$;

CREATE FUNCTION troupe.close_crawl(p_crawl bigint) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  update troupe.crawl set closed = true where job_id = p_crawl;
  -- A snooze writes no attempt that the statement below could meet, so these two meet at the job.
  perform from troupe.job j
    where j.id in (select p.job_id from troupe.page p
                    where p.crawl = p_crawl
                      and not exists (select from troupe.item i where i.crawl = p.crawl and i.page = p.job_id))
    order by j.id for update;
  -- As troupe.cancel, for all pages at once. A page whose attempt ends at this moment may run once
  -- more; a closed crawl takes no links from it.
  with waiting as (
    select p.job_id,
           coalesce((select max(a.attempt) from troupe.attempt a where a.job_id = p.job_id), 0) + 1 as n
      from troupe.page p
     where p.crawl = p_crawl
       and not exists (select from troupe.item i where i.crawl = p.crawl and i.page = p.job_id)
       and not exists (select from troupe.attempt a
                        where a.job_id = p.job_id and a.outcome in (1, 2, 3) and not a.reopened)),
  ended as (
    insert into troupe.attempt (job_id, attempt, outcome) select job_id, n, 2 from waiting
    on conflict do nothing
    returning job_id, attempt),
  counted as (
    insert into troupe.tally (queue, state, jobs)
    select j.queue, 2, count(*) from ended e join troupe.job j on j.id = e.job_id group by j.queue),
  gone as (
    delete from troupe.deferred d using ended e where d.job_id = e.job_id returning d.job_id)
  insert into troupe.revoked (job_id, attempt, queue, priority)
  select e.job_id, e.attempt, j.queue, j.priority from ended e join troupe.job j on j.id = e.job_id
   where e.job_id not in (select job_id from gone)
  on conflict do nothing;
  perform troupe.reconcile_crawl(p_crawl);
end $$;

CREATE FUNCTION troupe.close_requests(p_keys text[], p_parts integer[], p_uses smallint[], p_ids bigint[], p_fates smallint[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  first int;
  last int := 0;
begin
  for p in 1..cardinality(p_parts) loop
    first := last + 1;
    last := last + p_parts[p];
    continue when p_uses[p] <> 1;
    if p_fates[first:last] && '{3,5}' then
      delete from troupe.idempotency where key = p_keys[p];
    else
      update troupe.idempotency set ids = p_ids[first:last], fates = p_fates[first:last]
       where key = p_keys[p];
    end if;
  end loop;
end $$;

CREATE FUNCTION troupe.copy_jobs(p_low bigint, p_high bigint, p_jobs bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $_$
declare
  name text;
begin
  if p_jobs = '{}' then
    return;
  end if;
  foreach name in array array['job', 'attempt', 'progress', 'job_log'] loop
    execute format('insert into troupe.%1$I select * from troupe.%2$I x
                     where x.%3$I >= %4$s and x.%3$I < %5$s and x.%3$I = any ($1)',
                   name || '_' || p_low || '_next', name, case name when 'job' then 'id' else 'job_id' end,
                   p_low, p_high) using p_jobs;
  end loop;
end $_$;

CREATE FUNCTION troupe.counts(of_queue text DEFAULT NULL::text) RETURNS TABLE(queue text, scheduled bigint, available bigint, running bigint, retryable bigint, completed bigint, cancelled bigint, discarded bigint)
    LANGUAGE sql STABLE
    AS $$
  select * from troupe.list_counts(of_queue, '', null);
$$;

CREATE FUNCTION troupe.counts_of_keys(p_keys text[], OUT names text[], OUT counts integer[]) RETURNS record
    LANGUAGE sql IMMUTABLE
    AS $$
  select coalesce(array_agg(x.k), '{}'), coalesce(array_agg(x.n), '{}')
    from (select u.k, count(*)::int as n from unnest(p_keys) u(k) where u.k is not null group by u.k) x
$$;

CREATE TABLE troupe.token (
    id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    last_used_on date,
    hash bytea NOT NULL,
    name text NOT NULL,
    hint text NOT NULL,
    role text NOT NULL,
    queues text[],
    CONSTRAINT token_check CHECK ((expires_at > created_at)),
    CONSTRAINT token_check1 CHECK (((queues IS NULL) OR (role <> 'admin'::text))),
    CONSTRAINT token_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT token_hint_check CHECK ((hint ~ '^trp_[0-9A-Za-z]{8}$'::text)),
    CONSTRAINT token_name_check CHECK ((name ~ '^[A-Za-z0-9._:-]{1,128}$'::text)),
    CONSTRAINT token_queues_check CHECK (((cardinality(queues) >= 1) AND (cardinality(queues) <= 100))),
    CONSTRAINT token_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'producer'::text, 'worker'::text, 'operator'::text, 'admin'::text])))
);

CREATE FUNCTION troupe.create_token(p_name text, p_hint text, p_hash bytea, p_role text, p_queues text[], p_valid_ms bigint) RETURNS SETOF troupe.token
    LANGUAGE plpgsql
    AS $_$
declare
  moment timestamptz;
  wrong text;
begin
  if coalesce(p_name, '') !~ '^[A-Za-z0-9._:-]{1,128}$' then
    raise exception 'name: a name is 1 to 128 of A-Z a-z 0-9 . _ : -' using errcode = 'TR400';
  elsif p_role is null or p_role <> all ('{viewer,producer,worker,operator,admin}') then
    raise exception 'role: one of viewer, producer, worker, operator, admin' using errcode = 'TR400';
  elsif p_valid_ms not between 1 and 315360000000 then
    raise exception 'expires_in: from 1 ms to 10 years' using errcode = 'TR400';
  elsif p_queues is not null then
    if p_role = 'admin' then
      raise exception 'queues: an admin''s token is for all queues' using errcode = 'TR400';
    elsif cardinality(p_queues) not between 1 and 100 then
      raise exception 'queues: 1 to 100 of them' using errcode = 'TR400';
    end if;
    select coalesce(q, 'null') into wrong from unnest(p_queues) q
     where q is null or q !~ '^[A-Za-z0-9._:-]{1,128}$' limit 1;
    if found then
      raise exception 'queues: no queue can be called %', quote_literal(left(wrong, 200)) using errcode = 'TR400';
    end if;
  end if;
  perform pg_advisory_xact_lock(72331733, 5); -- of those who count tokens
  moment := clock_timestamp();
  delete from troupe.token t
   where t.id in (select d.id from troupe.token d
                   where least(d.revoked_at, d.expires_at) < moment - troupe.kept_for('tokens') limit 1000);
  if (select count(*) from troupe.token) >= 10000 then
    raise exception 'there are 10000 tokens, as many as are kept; the dead go 90 days after their end'
      using errcode = 'TR409';
  end if;
  return query
    insert into troupe.token (created_at, expires_at, hash, name, hint, role, queues)
    values (moment, moment + p_valid_ms * interval '1 ms', p_hash, p_name, p_hint, p_role,
            (select array_agg(distinct q order by q) from unnest(p_queues) q))
    returning *;
end $_$;

CREATE FUNCTION troupe.current_attempt(p_job bigint) RETURNS smallint
    LANGUAGE plpgsql
    AS $$
declare
  last troupe.attempt;
begin
  perform from troupe.job where id = p_job;
  if not found then
    raise exception 'there is no job %', p_job using errcode = 'TR404';
  end if;
  select * into last from troupe.attempt where job_id = p_job order by attempt desc limit 1;
  if last.outcome in (1, 2, 3) and not last.reopened then
    raise exception 'job % is already %', p_job,
      (array['completed', 'cancelled', 'discarded'])[last.outcome] using errcode = 'TR409';
  end if;
  return coalesce(last.attempt, 0) + 1;
end $$;

CREATE FUNCTION troupe.cut_jobs(p_span interval) RETURNS boolean
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '50ms'
    AS $$
declare
  most constant int := 32;
  newest bigint := (select case when is_called then last_value else 0 end from troupe.job_id_seq);
  part troupe.partition;
begin
  select * into part from troupe.partition p where p.what = 'jobs' and p.low <= newest and p.high > newest;
  if not found
     or (select count(*) from troupe.partition p where p.what = 'jobs') >= most
     or not exists (select from troupe.partition p where p.what = 'jobs' and p.low = part.high)
     or coalesce((select j.created_at from troupe.job j where j.id >= part.low and j.id < part.high
                   order by j.id limit 1), 'infinity') > clock_timestamp() - p_span then
    return false;
  end if;
  alter sequence troupe.job_id_seq no cycle; -- nobody takes an id from here on, and who did has ended
  if (select last_value from troupe.job_id_seq) >= part.high then
    return false;
  end if;
  execute format('alter sequence troupe.job_id_seq restart with %s', part.high);
  perform nextval('troupe.job_id_seq'); -- a sequence that was not called looks as if there were no jobs
  return true;
exception when lock_not_available then
  return false;
end $$;

CREATE FUNCTION troupe.cut_runs(INOUT firsts bigint[], INOUT counts integer[], INOUT attempts smallint[], INOUT xacts xid8[], INOUT seqs bigint[], p_skip integer, p_most integer, OUT xact xid8, OUT seq bigint, OUT part smallint) RETURNS record
    LANGUAGE plpgsql IMMUTABLE
    AS $$
declare
  total int := 0;
  last int := cardinality(counts);
begin
  part := 0;
  for k in 1 .. last loop
    total := total + counts[k];
    if total >= p_most then
      last := k;
      exit;
    end if;
  end loop;
  if total > p_most then
    counts[last] := counts[last] - (total - p_most);
    part := counts[last] + case when last = 1 then p_skip else 0 end;
  end if;
  if last < cardinality(counts) then
    firsts := firsts[:last]; counts := counts[:last]; attempts := attempts[:last];
    xacts := xacts[:last]; seqs := seqs[:last];
  end if;
  xact := xacts[last];
  seq := seqs[last] - (part > 0)::int;
end $$;

CREATE FUNCTION troupe.delete_job(p_job bigint) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  j troupe.job;
  mine bytea;
begin
  select digest into mine from troupe.unique_job where job_id = p_job;
  if found then
    perform from troupe.unique_key where digest = mine for update;
  end if;
  select * into j from troupe.job where id = p_job for update;
  if not found then
    raise exception 'there is no job %', p_job using errcode = 'TR404';
  end if;
  -- A claim that has read the job's entry and not committed its lease yet: wait for it.
  perform troupe.hold_lanes(array(select l.id from troupe.known_lane l
                                   where l.queue = j.queue and l.priority = j.priority));
  if troupe.is_running(p_job) then
    raise exception 'job % is running; cancel it first', p_job using errcode = 'TR409';
  end if;
  delete from troupe.deferred where job_id = p_job;
  if not found then
    insert into troupe.revoked (job_id, attempt, queue, priority)
    select p_job, coalesce(max(attempt), 0) + 1, j.queue, j.priority from troupe.attempt
     where job_id = p_job
    having not coalesce(bool_or(outcome in (1, 2, 3) and not reopened), false)
    on conflict do nothing;
  end if;
  delete from troupe.job where id = p_job; -- before its attempts: how it ended is counted by them
  -- One that was cancelled while it ran may still be in its node's hands: what that has to say of it finds
  -- the outcome there.
  delete from troupe.attempt t
   where t.job_id = p_job
     and not exists (select from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
                      where l.jobs @> array[p_job] and u.i = p_job and u.a = t.attempt);
  update troupe.attempt set reopened = true where job_id = p_job and not reopened;
  if mine is not null then
    delete from troupe.unique_key where digest = mine and job_id = p_job;
    delete from troupe.unique_job where job_id = p_job;
  end if;
end $$;

CREATE FUNCTION troupe.delete_jobs(p_jobs bigint[], p_low bigint, p_high bigint, p_available bigint[], p_entries smallint[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  ran boolean;
begin
  delete from troupe.deferred d where d.job_id = any (p_jobs);
  insert into troupe.revoked (job_id, attempt, queue, priority)
  select x.i, x.a, j.queue, j.priority
    from unnest(p_available, p_entries) x(i, a)
    cross join lateral (select y.queue, y.priority from troupe.job y where y.id = x.i offset 0) j
  on conflict do nothing;
  delete from troupe.unique_key k using troupe.unique_job u
   where u.job_id = any (p_jobs) and k.digest = u.digest and k.job_id = u.job_id;
  delete from troupe.unique_job u where u.job_id = any (p_jobs);
  delete from troupe.job j where j.id = any (p_jobs) and j.id between p_low and p_high;
  with held as materialized (select l.job_id, l.attempt from troupe.leased_of(p_jobs) l),
  gone as (
    delete from troupe.attempt a
     where a.job_id = any (p_jobs) and a.job_id between p_low and p_high
       and not exists (select from held h where h.job_id = a.job_id and h.attempt = a.attempt)
    returning a.job_id, a.attempt),
  left_there as (
    update troupe.attempt a set reopened = true from held h
     where a.job_id = h.job_id and a.attempt = h.attempt and a.job_id between p_low and p_high
    returning a.job_id, a.attempt)
  select exists (select from (select * from gone union all select * from left_there) g
                   join unnest(p_available, p_entries) x(i, a) on x.i = g.job_id
                  where g.attempt >= x.a) into ran;
  if ran then
    raise exception using errcode = 'TR499';
  end if;
  return p_jobs;
end $$;

CREATE FUNCTION troupe.differences(p_before jsonb, p_after jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    AS $$
  select coalesce(jsonb_object_agg(key, jsonb_build_object('from', coalesce(b.value, 'null'),
                                                           'to', coalesce(a.value, 'null')) order by key), '{}')
    from jsonb_each(p_before) b full join jsonb_each(p_after) a using (key)
   where coalesce(b.value, 'null') <> coalesce(a.value, 'null');
$$;

CREATE FUNCTION troupe.drain_node(p_name text, p_drain boolean) RETURNS bigint
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '1s'
    AS $$
declare
  lives bigint[];
begin
  lives := array(select n.id from troupe.node n where n.name = p_name and n.ended_at is null order by n.id desc);
  perform from troupe.node n where n.id = any (lives) order by n.id for update;
  lives := array(select n.id from troupe.node n
                  where n.id = any (lives) and n.ended_at is null and n.heartbeat_at > '-infinity' order by n.id desc);
  if lives = '{}' and exists (select from troupe.node n where n.name = p_name) then
    raise exception 'node % has ended', p_name using errcode = 'TR409';
  elsif lives = '{}' then
    raise exception 'there is no node %', p_name using errcode = 'TR404';
  elsif not p_drain and exists (select from troupe.node n where n.id = any (lives) and n.wanted = 'terminate') then
    raise exception 'node % was asked to end', p_name using errcode = 'TR409';
  end if;
  update troupe.node n set wanted = case when p_drain then coalesce(n.wanted, 'quiet') end
   where n.id = any (lives) and n.wanted is distinct from case when p_drain then coalesce(n.wanted, 'quiet') end;
  perform troupe.tell('beat ' || l) from unnest(lives) l;
  return lives[1];
end $$;

CREATE FUNCTION troupe.drop_entries() RETURNS integer
    LANGUAGE plpgsql
    SET lock_timeout TO '50ms'
    AS $$
declare
  newest bigint := (select case when is_called then last_value else 0 end from troupe.ready_seq_seq);
  part record;
  dropped int := 0;
begin
  if not exists (select from troupe.partition p where p.what = 'entries' and p.high <= newest)
     -- One snapshot for all statements would not show what was committed before the lock came.
     or current_setting('transaction_isolation') <> 'read committed' then
    return 0;
  end if;
  perform pg_advisory_xact_lock(72331733, 1); -- of those who make partitions
  for part in
    select p.low, 'ready_' || p.low as name from troupe.partition p
     where p.what = 'entries' and p.high <= newest order by p.low
  loop
    continue when troupe.entries_wanted(part.name);
    lock table only troupe.ready in access exclusive mode;
    -- Whoever was entering something has ended by now; what it left is seen.
    continue when troupe.entries_wanted(part.name);
    execute format('alter table troupe.ready detach partition troupe.%I', part.name);
    execute format('drop table troupe.%I', part.name);
    delete from troupe.partition p where p.what = 'entries' and p.low = part.low;
    dropped := dropped + 1;
  end loop;
  return dropped;
exception when lock_not_available then
  return 0;
end $$;

CREATE FUNCTION troupe.drop_parked(p_jobs bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  if exists (select from troupe.parked) then
    delete from troupe.parked p
     using (select x.queue, x.generation, x.limit_key, x.priority, x.job_id, x.attempt from troupe.parked x
             where x.job_id = any (p_jobs) for update skip locked) g
     where p.queue = g.queue and p.generation = g.generation and p.limit_key = g.limit_key and p.priority = g.priority
       and p.job_id = g.job_id and p.attempt = g.attempt;
  end if;
end $$;

CREATE FUNCTION troupe.drop_permits() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  delete from troupe.permit where node = new.id;
  return null;
end $$;

CREATE FUNCTION troupe.drop_reports() RETURNS trigger
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  perform from troupe.lease l where l.jobs @> array[old.id] order by l.id for update;
  delete from troupe.progress where job_id = old.id;
  delete from troupe.job_log where job_id = old.id;
  return null;
end $$;

CREATE FUNCTION troupe.due_from() RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  c constant troupe.checkpoint := troupe.newest_checkpoint('deferred');
begin
  if c.nth is null then
    return '-infinity';
  end if;
  return least(c.due_at,
               (select min(p.due_at) from troupe.put_off_at p where p.xact >= c.xact),
               (select min(p.due_at) from unnest(c.open) o(writer)
                 cross join lateral (select * from troupe.put_off_at x where x.xact = o.writer offset 0) p));
end $$;

CREATE FUNCTION troupe.edit(job bigint, changes jsonb) RETURNS void
    LANGUAGE sql
    AS $$
  select troupe.edit_job(job, changes);
$$;

CREATE FUNCTION troupe.edit_function(p_name text, p_old text, p_new text) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION troupe.edit_job(job bigint, changes jsonb, OUT changed jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $_$
#variable_conflict use_column
declare
  p_job constant bigint := job;
  name constant text := '^[A-Za-z0-9._:-]{1,128}$';
  field text;
  given jsonb;
  fault text;
  at timestamptz;
  mine troupe.unique_job;
  key bytea;
  old troupe.job;
  new troupe.job;
  now_in text;
  entry smallint; -- the attempt that it waits for
  lane_id int;
  holder bigint;
  held text;
begin
  if jsonb_typeof(changes) is distinct from 'object' or changes = '{}' then
    raise exception 'changes must be an object with at least one field' using errcode = 'TR400';
  end if;
  for field, given in select * from jsonb_each(changes) loop
    fault := case field
      when 'args' then case when pg_column_size(given) > 8388608 then 'must take at most 8 MiB in the database' end
      when 'queue' then
        case when (jsonb_typeof(given) = 'string' and given #>> '{}' ~ name) is not true
             then 'must be 1 to 128 of A-Z a-z 0-9 . _ : -'
             when given #>> '{}' ^@ 'troupe.'
             then 'must not begin with "troupe.": such queues are the engine''s own' end
      when 'priority' then
        case when jsonb_typeof(given) <> 'number' or given not in ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
             then 'must be 0 to 9' end
      when 'max_attempts' then
        case when jsonb_typeof(given) <> 'number' then 'must be 1 to 1000'
             when given::numeric <> trunc(given::numeric) or given::numeric not between 1 and 1000
               then 'must be 1 to 1000' end
      when 'timeout_ms' then
        case when jsonb_typeof(given) = 'null' then null
             when jsonb_typeof(given) <> 'number' then 'must be 1 to 604800000 or null'
             when given::numeric <> trunc(given::numeric) or given::numeric not between 1 and 604800000
               then 'must be 1 to 604800000 or null' end
      when 'tags' then
        case when jsonb_typeof(given) <> 'array' then 'must be at most 32 texts of 1 to 255 bytes'
             when jsonb_array_length(given) > 32
                  or exists (select from jsonb_array_elements(given) g
                              where jsonb_typeof(g) <> 'string' or octet_length(g #>> '{}') not between 1 and 255)
               then 'must be at most 32 texts of 1 to 255 bytes' end
      when 'run_at' then
        case when jsonb_typeof(given) not in ('string', 'null') then 'must be a time or null' end
      else 'no such field; there are args, priority, queue, max_attempts, timeout_ms, tags, run_at' end;
    if fault is null and field = 'run_at' and given <> 'null' then
      begin
        at := (given #>> '{}')::timestamptz;
      exception when others then
        fault := 'must be a time or null';
      end;
      if at not between now() - interval '3650 days' and now() + interval '3650 days' then
        fault := 'must lie within ten years';
      end if;
    end if;
    if fault is not null then
      raise exception '% %', left(field, 64), fault using errcode = 'TR400';
    end if;
  end loop;
  if at <= clock_timestamp() then
    at := null;
  end if;

  -- Keys first, then the job, what waits for its time, and the lanes: one order for everybody.
  select * into mine from troupe.unique_job u
    where u.job_id = p_job and (u.ends_at is null or u.ends_at > clock_timestamp());
  if found and (changes ? 'queue' or changes ? 'args') then
    if mine.rule is null then
      raise exception 'job % has a unique key of which is not known whether it has to change', p_job
        using errcode = 'TR409';
    end if;
    select troupe.unique_digest_in(j.kind, coalesce(changes ->> 'queue', j.queue),
                                   coalesce(changes -> 'args', j.args), mine.rule, mine.ends_at)
      into key from troupe.job j where j.id = p_job;
    perform troupe.hold_keys(array[mine.digest, key]);
  end if;
  perform troupe.hold_waiting(array[p_job]);
  select * into old from troupe.job j where j.id = p_job;
  if not found then
    raise exception 'there is no job %', p_job using errcode = 'TR404';
  end if;
  select s.state, s.attempt + 1 into now_in, entry from troupe.standing(array[p_job]) s;
  if now_in not in ('scheduled', 'available', 'retryable') then
    raise exception 'job % is % and waits no more', p_job, now_in using errcode = 'TR409';
  end if;
  perform from troupe.deferred d where d.job_id = p_job for update;
  if not found and now_in <> 'available' then -- failed, and was due, just now
    raise exception 'job % has changed meanwhile', p_job using errcode = '40001';
  end if;
  if key is not null
     and (key <> troupe.unique_digest_in(old.kind, coalesce(changes ->> 'queue', old.queue),
                                            coalesce(changes -> 'args', old.args), mine.rule, mine.ends_at)
          or mine.digest <> (select u.digest from troupe.unique_job u where u.job_id = p_job)) then
    raise exception 'job % has changed meanwhile', p_job using errcode = '40001';
  end if;
  if key <> mine.digest then
    select k.job_id into holder from troupe.unique_key k where k.digest = key;
    held := (select s.state from troupe.standing(array[holder]) s);
    if holder <> p_job and held = any (coalesce(mine.states, '{scheduled,available,running,retryable}')) then
      raise exception 'job % has the same unique key and is %', holder, held using errcode = 'TR409';
    end if;
    update troupe.unique_key k set job_id = p_job where k.digest = key;
    delete from troupe.unique_key k where k.digest = mine.digest and k.job_id in (p_job, 0);
    update troupe.unique_job u set digest = key where u.job_id = p_job;
  elsif key is not null then
    delete from troupe.unique_key k where k.digest = mine.digest and k.job_id = 0;
  end if;
  update troupe.job j
     set args = coalesce(changes -> 'args', j.args),
         queue = coalesce(changes ->> 'queue', j.queue),
         priority = coalesce((changes ->> 'priority')::smallint, j.priority),
         max_attempts = coalesce((changes ->> 'max_attempts')::smallint, j.max_attempts),
         timeout_ms = case when changes ? 'timeout_ms' then (changes ->> 'timeout_ms')::bigint
                           else j.timeout_ms end,
         tags = case when changes ? 'tags'
                     then nullif(array(select jsonb_array_elements_text(changes -> 'tags')), '{}')
                     else j.tags end,
         run_at = case when changes ? 'run_at' then coalesce(at, clock_timestamp()) else j.run_at end
   where j.id = p_job
  returning * into new;
  changed := troupe.differences(troupe.settings_of(old), troupe.settings_of(new))
             || case when new.args is distinct from old.args then '{"args": {}}' else '{}' end::jsonb;
  perform troupe.open_lanes(array[new.queue], array[new.priority]);
  if changes ? 'run_at' and at is not null and now_in = 'available' then
    perform troupe.put_off(p_job, at, old.queue, old.priority);
    return;
  end if;
  if (new.queue, new.priority) <> (old.queue, old.priority) then
    perform troupe.change_lanes(
      array[p_job], array[old.queue], array[old.priority],
      case now_in when 'available' then array[p_job] end, array[entry], 'edited while it waited');
    perform troupe.drop_parked(array[p_job]);
  end if;
  if at is not null then
    update troupe.deferred d set due_at = at where d.job_id = p_job;
    perform troupe.wake_for_deferred(array[new.queue], array[at], null);
  elsif changes ? 'run_at' then
    delete from troupe.deferred d where d.job_id = p_job returning d.attempt, d.lane into entry, lane_id;
    if lane_id is not null and troupe.heads_among(array[new.queue], array[p_job]) = '{}' then
      insert into troupe.ready (lane, job_id, attempt) values (lane_id, p_job, entry);
    end if;
    perform troupe.wake(array[new.queue]);
  end if;
end $_$;

CREATE FUNCTION troupe.end_exports() RETURNS bigint
    LANGUAGE sql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
  with ended as (
    update troupe.export e set over = true
     where not e.over
       and (e.expires_at <= clock_timestamp()
            or not exists (select from troupe.job j where j.id = e.job_id offset 0)
            or exists (select from troupe.attempt a
                        where a.job_id = e.job_id and a.outcome in (1, 2, 3) and not a.reopened
                          and (a.outcome <> 1 or e.attempt is distinct from a.attempt)
                       offset 0))
    returning 1)
  select count(*) from ended;
$$;

CREATE FUNCTION troupe.end_runs(p_node bigint, p_leases bigint[], p_jobs bigint[], p_attempts smallint[], p_outcomes smallint[], p_results jsonb[], p_errors text[], p_waits_ms bigint[], p_tell boolean DEFAULT false, OUT fates smallint[], OUT next_ms bigint, OUT steered text[], OUT told_jobs bigint[], OUT told_ms bigint[], OUT told_outcomes smallint[], OUT told_queues text[], OUT told_kinds text[], OUT told_traces text[]) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  m record; -- of what this node holds, arrays side by side
  done bigint[];
  refused bigint[] := '{}';
  put_off bigint;
begin
  -- Locked, so that two requests that end runs of one lease do not each leave it to the other.
  perform from troupe.lease l where l.id = any (p_leases) and l.node = p_node order by l.id for update;
  select array_agg(x.l) as leases, array_agg(x.i) as jobs, array_agg(x.a) as attempts,
         array_agg(case when x.o = 4 and x.w is null then 3 else x.o end::smallint) as outcomes,
         array_agg(x.ago) as agos, array_agg(x.r) as results, array_agg(x.e) as errors, array_agg(x.w) as waits,
         array_agg(0::bigint) as zeros
    into m
    from (select u.l, u.i, u.a, u.o, u.r, u.e,
                 greatest(0, extract(epoch from clock_timestamp() - l.taken_at) * 1000)::bigint as ago,
                 case when u.o = 4 and u.w is null
                        then case when j.retry is not null
                                    then troupe.retry_pause(j.retry, u.a, floor(random() * 4294967296)::bigint)
                                  else least(21600000, 1000 * 2 ^ least(u.a - 1, 20))::bigint end
                      else u.w end as w
            from unnest(p_leases, p_jobs, p_attempts, p_outcomes, p_results, p_errors, p_waits_ms)
                   with ordinality u(l, i, a, o, r, e, w, nth)
            join troupe.lease l on l.id = u.l and l.node = p_node
            left join troupe.job j on j.id = u.i
           where l.attempts[array_position(l.jobs, u.i)] = u.a
           order by u.nth) x;
  steered := '{}';
  if m.jobs is not null then
    done := array(
      select l.id from troupe.lease l
       where l.id = any (m.leases)
         and not exists (select from unnest(l.jobs, l.attempts) h(i, a)
                          where h.i not in (select j from unnest(m.jobs) j)
                            and not exists (select from troupe.attempt t
                                             where t.job_id = h.i and t.attempt = h.a)));
    select f.fenced, f.deferred into refused, put_off
      from troupe.finish(p_node, done, array(select distinct l from unnest(m.leases) l where l <> all (done)),
                         m.outcomes <@ array[1::smallint], m.leases, m.jobs, m.attempts, m.outcomes, m.agos,
                         m.zeros, m.results, m.errors, m.waits) f;
    if put_off > 0 then
      next_ms := (select min(w) from unnest(m.waits) w);
    end if;
    steered := array(select distinct q.name from troupe.queue q
                      where q.name in (select j.queue from troupe.job j where j.id = any (m.jobs)));
    if p_tell then
      select array_agg(j.id), array_agg(u.ago), array_agg(coalesce(t.outcome, 0::smallint)), array_agg(j.queue),
             array_agg(j.kind), array_agg(coalesce(j.meta ->> 'traceparent', ''))
        into told_jobs, told_ms, told_outcomes, told_queues, told_kinds, told_traces
        from unnest(m.jobs, m.attempts, m.agos) u(i, a, ago)
        join troupe.job j on j.id = u.i
        left join troupe.attempt t on t.job_id = u.i and t.attempt = u.a
       where t.outcome is null or t.outcome = 2 or t.finished_at = now();
    end if;
  end if;
  fates := array(
    select case
             when u.i in (select j from unnest(m.jobs) j) and u.i not in (select j from unnest(refused) j) then 0
             when exists (select from troupe.attempt t where t.job_id = u.i and t.attempt = u.a and t.outcome = 2)
               then 2
             -- As in troupe.store_outcomes: what is there just as it is told is an answer that was lost.
             when exists (select from troupe.attempt t
                           where t.job_id = u.i and t.attempt = u.a and t.node = p_node
                             and (t.outcome = u.o or (t.outcome = 3 and u.o = 4))
                             and t.error is not distinct from u.e)
                  or u.o = 6 and exists (select from troupe.deferred d where d.job_id = u.i and d.attempt = u.a)
               then 0
             else 1 end::smallint
      from unnest(p_jobs, p_attempts, p_outcomes, p_errors) with ordinality u(i, a, o, e, nth)
     order by u.nth);
end $$;

CREATE FUNCTION troupe.enqueue(kind text, args jsonb DEFAULT '{}'::jsonb, queue text DEFAULT 'default'::text, priority integer DEFAULT 0, max_attempts integer DEFAULT 20, timeout_ms bigint DEFAULT NULL::bigint, tags text[] DEFAULT NULL::text[], run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, delay_ms bigint DEFAULT NULL::bigint, unique_by jsonb DEFAULT NULL::jsonb, limit_key text DEFAULT NULL::text, retry jsonb DEFAULT NULL::jsonb, traceparent text DEFAULT NULL::text) RETURNS bigint
    LANGUAGE plpgsql
    AS $_$
declare
  name constant text := '^[A-Za-z0-9._:-]{1,128}$';
  fault constant text := case
    when (kind ~ name) is not true then 'kind must be 1 to 128 of A-Z a-z 0-9 . _ : -'
    when (queue ~ name) is not true then 'queue must be 1 to 128 of A-Z a-z 0-9 . _ : -'
    when args is null then 'args must not be null'
    when (priority between 0 and 9) is not true then 'priority must be 0 to 9'
    when (max_attempts between 1 and 1000) is not true then 'max_attempts must be 1 to 1000'
    when timeout_ms not between 1 and 604800000 then 'timeout_ms must be 1 to 604800000'
    when cardinality(tags) > 32 or exists (select from unnest(tags) t
                                            where (octet_length(t) between 1 and 255) is not true)
      then 'tags must be at most 32 of 1 to 255 bytes each'
    when run_at is not null and delay_ms is not null then 'run_at and delay_ms exclude each other'
    when delay_ms not between 0 and 315360000000 then 'delay_ms must be 0 to 315360000000'
    when run_at not between now() - interval '3650 days' and now() + interval '3650 days'
      then 'run_at must lie within ten years'
    when octet_length(limit_key) not between 1 and 128 then 'limit_key must have 1 to 128 bytes'
  end;
  kinds constant text[] := array[kind];
  queues constant text[] := array[queue];
  all_args constant jsonb[] := array[args];
  priorities constant smallint[] := array[priority];
  attempts constant smallint[] := array[max_attempts];
  timeouts constant bigint[] := case when timeout_ms is not null then array[timeout_ms] end;
  tag_lists constant text[] := case when tags is not null then array[tags::text] end;
  times constant timestamptz[] := case when run_at is not null then array[run_at] end;
  delays constant bigint[] := case when delay_ms is not null then array[delay_ms] end;
  limit_keys constant text[] := case when limit_key is not null then array[limit_key] end;
  retries constant jsonb[] := case when retry is not null then array[retry] end;
  traces constant text[] := case when traceparent is not null then array[traceparent] end;
begin
  if fault is not null then
    raise exception '%', fault using errcode = 'TR400';
  end if;
  if unique_by is null then
    return (troupe.enqueue_many(kinds, queues, all_args, priorities, attempts, timeouts, tag_lists,
                                times, delays, limit_keys, retries, p_traceparents => traces))[1];
  end if;
  return (select e.ids[1]
            from troupe.enqueue_keyed(kinds, queues, all_args, priorities, attempts, timeouts, tag_lists,
                                      times, delays, array[unique_by], p_limit_keys => limit_keys,
                                      p_retries => retries, p_traceparents => traces) e);
end  $_$;

CREATE FUNCTION troupe.enqueue_here(p_node bigint, p_kinds text[], p_queues text[], p_args jsonb[], p_priorities smallint[], p_max_attempts smallint[], p_timeouts_ms bigint[], p_tags text[], p_limit_keys text[], p_retries jsonb[] DEFAULT NULL::jsonb[], p_traceparents text[] DEFAULT NULL::text[]) RETURNS TABLE(lease bigint, job_id bigint, args jsonb)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  lease_id bigint;
  ids bigint[];
  free boolean := false;
begin
  perform from troupe.node n where n.id = p_node and n.ended_at is null and n.wanted is null for key share skip locked;
  -- The lock is the claim's; tried and not waited for: whoever stores jobs must not wait for a pause.
  if found
     -- Before the lock: who waits for room shall hold up no pause.
     and not exists (select from troupe.queue q where q.name = p_queues[1] and q.max_waiting is not null)
     and pg_try_advisory_xact_lock_shared(troupe.queue_lock(p_queues[1])) then
    -- After the lock, by a statement of its own: a pause or a limit is either seen or waits for us.
    -- Lanes there are from a queue's first job on.
    free := p_queues[1] = all (p_queues)
      and not p_queues[1] ^@ 'troupe.'
      and not exists (select from troupe.queue q
                       where q.name = p_queues[1]
                         and (q.paused_at is not null or q.concurrency is not null or q.rate is not null
                              or q.key_concurrency is not null or q.key_rate is not null or q.ordered
                              or q.max_waiting is not null))
      and not exists (select from unnest(p_priorities) u(p)
                       where not exists (select from troupe.known_lane l
                                          where l.queue = p_queues[1] and l.priority = u.p and l.shard = 3));
  end if;
  if not free then
    return query
      select null::bigint, u.i, null::jsonb
        from unnest(troupe.enqueue_many(p_kinds, p_queues, p_args, p_priorities, p_max_attempts,
                                        p_timeouts_ms, p_tags, null, null, p_limit_keys,
                                        p_retries, p_traceparents => p_traceparents)) u(i);
    return;
  end if;
  if p_traceparents <> '{}' then -- a function below would cost those without, too
    perform troupe.traced(t) from unnest(p_traceparents) t;
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
                                   retry, meta)
      select u.i, u.q, u.k, u.a, u.p, coalesce(u.m, 20), u.t, u.g::text[], u.lk, u.rt,
             case when u.tp <> '' then jsonb_build_object('traceparent', u.tp) end
        from unnest(ids, p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                    p_limit_keys, p_retries, p_traceparents)
             u(i, k, q, a, p, m, t, g, lk, rt, tp)
      returning j.id, j.args),
    counted as (
      insert into troupe.tally (queue, state, jobs) values (p_queues[1], 0, cardinality(p_kinds)))
    select lease_id, s.id, s.args from stored s order by s.id;
end  $$;

CREATE FUNCTION troupe.enqueue_keyed(p_kinds text[], p_queues text[], p_args jsonb[], p_priorities smallint[], p_max_attempts smallint[], p_timeouts_ms bigint[], p_tags text[], p_run_at timestamp with time zone[], p_delays_ms bigint[], p_uniques jsonb[], p_parts integer[] DEFAULT NULL::integer[], p_keys text[] DEFAULT NULL::text[], p_limit_keys text[] DEFAULT NULL::text[], p_retries jsonb[] DEFAULT NULL::jsonb[], p_traceparents text[] DEFAULT NULL::text[], OUT ids bigint[], OUT fates smallint[], OUT uses smallint[], OUT stored_at timestamp with time zone[]) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  live constant jsonb := '["scheduled", "available", "running", "retryable"]';
  waiting constant text[] := '{scheduled,available,retryable}';
  n constant int := coalesce(cardinality(p_kinds), 0);
  parts constant int[] := coalesce(p_parts, array[n]);
  moment constant timestamptz := clock_timestamp();
  prints bytea[];
  digests bytea[]; -- the keys, ascending
  ranks int[];     -- of each job: which of them
  holders bigint[]; -- of each key: a job's id, or a job of this call as -n, or 0
  states text[];
  acts smallint[] := array_fill(0::smallint, array[n]); -- as fates; -1: replayed
  targets bigint[] := array_fill(0::bigint, array[n]);  -- as holders
  undo_ranks int[];
  undo_holders bigint[];
  undo_states text[];
  refused int;
  full_at int;     -- the first job that there is no room for
  bounded text[];  -- the queues in which not as many wait as come, and
  rooms bigint[];  -- how many more each of them takes
  left_over bigint[];
  most int[];
  first int;
  i int := 0;
  r int;
  was bigint;
  fresh int[];
  made bigint[];
begin
  if cardinality(p_uniques) <> n or (select sum(c) from unnest(parts) c) <> n
     or cardinality(p_keys) <> cardinality(parts) then
    raise exception 'the arrays must have the same length' using errcode = 'TR400';
  end if;
  if p_retries <> '{}' then
    perform troupe.check_retries(p_retries);
  end if;
  ids := array_fill(0::bigint, array[n]);
  uses := array_fill(0::smallint, array[cardinality(parts)]);
  stored_at := array_fill(now(), array[cardinality(parts)]);

  -- Requests first, and only then keys of jobs: one order for everybody.
  if p_keys is not null then
    select array_agg(x.f order by x.part) into prints from (
      select s.part, sha256(convert_to(jsonb_agg(
               jsonb_build_array(k, q, a, p, coalesce(m, 20), t, to_jsonb(g::text[]), g2, d, z)
                 || case when lk is null then '[]' else jsonb_build_array(lk) end
                 || case when rt is null then '[]' else jsonb_build_array(rt) end
               order by u.o)::text, 'UTF8')) as f
        from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                    p_run_at, p_delays_ms, p_uniques, p_limit_keys, p_retries)
             with ordinality u(k, q, a, p, m, t, g, g2, d, z, lk, rt, o)
        join (select c.part, row_number() over (order by c.part, s) as o
                from unnest(parts) with ordinality c(jobs, part), generate_series(1, c.jobs) s) s
          on s.o = u.o
       group by s.part) x;
    select * into uses, stored_at from troupe.open_requests(p_keys, prints);
    if uses && '{2,3}' then
      for p in 1..cardinality(parts) loop
        first := i + 1;
        i := i + parts[p];
        if uses[p] = 3 then
          acts[first:i] := array_fill(4::smallint, array[parts[p]]);
        elsif uses[p] = 2 then
          acts[first:i] := array_fill((-1)::smallint, array[parts[p]]);
        end if;
      end loop;
    end if;
  end if;

  if p_uniques is not null then
    perform troupe.check_unique(u) from (select distinct u from unnest(p_uniques) u where u is not null) x;
    select array_agg(case when d is not null then dr end order by o), array_agg(distinct d order by d)
             filter (where d is not null)
      into ranks, digests
      from (select o, d, dense_rank() over (order by d) as dr
              from (select o, case when u is not null and x = 0
                                   then troupe.unique_digest(k, q, a, u, moment) end as d
                      from unnest(p_kinds, p_queues, p_args, p_uniques, acts)
                           with ordinality g(k, q, a, u, x, o)) g) g;
  end if;
  if digests is not null then
    insert into troupe.unique_key (job_id, digest)
    select 0, d from unnest(digests) with ordinality u(d, o) order by o
    on conflict (digest) do update set job_id = excluded.job_id where false; -- locks it
  end if;
  if exists (select from troupe.queue q where q.max_waiting is not null) then
    select x.names, x.free, x.most into bounded, rooms, most
      from troupe.rooms(array(select distinct q from unnest(p_queues, p_run_at, p_delays_ms, acts) u(q, w, d, a)
                               where a = 0 and d is null and (w > now()) is not true), n) x;
  end if;
  if digests is not null then
    -- A statement of its own, to see what the one above has waited for.
    select array_agg(k.job_id order by k.digest) into holders
      from troupe.unique_key k where k.digest = any (digests);
    states := troupe.states_of(holders);
    if exists (select from unnest(p_uniques) u where u -> 'on_conflict' = '"replace"') then
      perform troupe.hold_waiting(array(
        select h from unnest(holders, states) with ordinality x(h, s, o)
         where s = any (waiting)
           and o in (select y.r from unnest(ranks, p_uniques) y(r, u)
                      where u -> 'on_conflict' = '"replace"')));
      states := troupe.states_of(holders);
    end if;
    for x in 1..cardinality(holders) loop
      if states[x] is null then
        holders[x] := 0;
      end if;
    end loop;
  end if;

  if digests is not null or bounded <> '{}' then
    -- What becomes of each job, in the order given, as if they came one by one.
    i := 0;
    for p in 1..cardinality(parts) loop
      first := i + 1;
      i := i + parts[p];
      refused := null; full_at := null; undo_ranks := '{}'; undo_holders := '{}'; undo_states := '{}';
      for k in first..i loop
        r := ranks[k];
        continue when r is null;
        was := holders[r];
        if was = 0 or not coalesce(p_uniques[k] -> 'states', live) ? states[r] then
          undo_ranks := undo_ranks || r; undo_holders := undo_holders || was;
          undo_states := undo_states || states[r];
          holders[r] := -k;
        elsif coalesce(p_uniques[k] ->> 'on_conflict', 'reject') = 'reject' then
          refused := k;
          targets[k] := case when -was between first and i then 0 else was end;
          exit;
        else
          targets[k] := was;
          if p_uniques[k] ->> 'on_conflict' = 'existing' or states[r] <> all (waiting) then
            acts[k] := 1;
            continue;
          end if;
          acts[k] := 2;
          undo_ranks := undo_ranks || r; undo_holders := undo_holders || was;
          undo_states := undo_states || states[r];
        end if;
        states[r] := case when p_delays_ms[k] is not null or p_run_at[k] > now() then 'scheduled'
                          else 'available' end;
      end loop;
      if refused is null and bounded <> '{}' then
        left_over := rooms;
        for k in first..i loop
          r := array_position(bounded, p_queues[k]);
          continue when r is null or acts[k] <> 0 or p_delays_ms[k] is not null or p_run_at[k] > now();
          left_over[r] := left_over[r] - 1;
          if left_over[r] < 0 then
            full_at := k;
            exit;
          end if;
        end loop;
        if full_at is null then
          rooms := left_over;
          continue;
        elsif p_parts is null then
          raise exception 'queue "%" is full: % jobs wait, and at most % may', bounded[r], most[r] - rooms[r],
            most[r] using errcode = 'TR503';
        end if;
      end if;
      continue when refused is null and full_at is null;
      if p_parts is null then
        raise exception '%', case when targets[refused] = 0
            then 'two of these jobs have the same unique key'
            else format('job %s has the same unique key and is %s', targets[refused],
                        states[ranks[refused]]) end
          using errcode = 'TR409';
      end if;
      for x in reverse cardinality(undo_ranks)..1 loop
        holders[undo_ranks[x]] := undo_holders[x];
        states[undo_ranks[x]] := undo_states[x];
      end loop;
      acts[first:i] := array_fill(4::smallint, array[parts[p]]);
      if refused is not null then
        acts[refused] := 3;
      else
        acts[full_at] := 5;
      end if;
    end loop;

    -- One that is to be created and was replaced before it was: as the last one says.
    for k in 1..n loop
      continue when acts[k] <> 2 or targets[k] > 0;
      i := -targets[k];
      p_args[i] := p_args[k];
      p_priorities[i] := p_priorities[k];
      if p_max_attempts is not null then p_max_attempts[i] := p_max_attempts[k]; end if;
      if p_timeouts_ms is not null then p_timeouts_ms[i] := p_timeouts_ms[k]; end if;
      if p_tags is not null then p_tags[i] := p_tags[k]; end if;
      if p_run_at is not null then p_run_at[i] := p_run_at[k]; end if;
      if p_delays_ms is not null then p_delays_ms[i] := p_delays_ms[k]; end if;
      if p_limit_keys is not null then p_limit_keys[i] := p_limit_keys[k]; end if;
      if p_retries <> '{}' then p_retries[i] := p_retries[k]; end if;
      if p_traceparents is not null then p_traceparents[i] := p_traceparents[k]; end if;
    end loop;
  end if;

  fresh := array(select o from unnest(acts) with ordinality u(a, o) where a = 0 order by o);
  if fresh <> '{}' then
    select troupe.enqueue_many(
             array_agg(k order by o), array_agg(q order by o), array_agg(a order by o),
             array_agg(p order by o),
             case when p_max_attempts is not null then array_agg(m order by o) end,
             case when p_timeouts_ms is not null then array_agg(t order by o) end,
             case when p_tags is not null then array_agg(g order by o) end,
             case when p_run_at is not null then array_agg(w order by o) end,
             case when p_delays_ms is not null then array_agg(d order by o) end,
             case when p_limit_keys is not null then array_agg(lk order by o) end,
             case when p_retries is not null then array_agg(rt order by o) end, true,
             case when p_traceparents is not null then array_agg(tp order by o) end)
      into made
      from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                  p_run_at, p_delays_ms, p_limit_keys, p_retries, acts, p_traceparents)
           with ordinality u(k, q, a, p, m, t, g, w, d, lk, rt, x, tp, o)
     where x = 0;
    for k in 1..cardinality(fresh) loop
      ids[fresh[k]] := made[k];
    end loop;
  end if;
  for k in 1..n loop
    if targets[k] <> 0 and acts[k] in (1, 2, 3) then
      ids[k] := case when targets[k] > 0 then targets[k] else ids[-targets[k]] end;
    end if;
    if acts[k] = 2 and targets[k] > 0 then
      perform troupe.replace_job(
        targets[k], p_args[k], p_priorities[k], p_max_attempts[k], p_timeouts_ms[k], p_tags[k]::text[],
        case when p_delays_ms[k] is not null then now() + p_delays_ms[k] * interval '1 millisecond'
             when p_run_at[k] > now() then p_run_at[k] end,
        p_limit_keys[k], p_retries[k], p_traceparents[k]);
    end if;
  end loop;
  if digests is not null then
    update troupe.unique_key k set job_id = ids[-x.h]
      from unnest(digests, holders) x(d, h) where k.digest = x.d and x.h < 0;
    -- A request that was rejected may have left one that nobody has.
    delete from troupe.unique_key k where k.job_id = 0 and k.digest = any (digests);
    insert into troupe.unique_job (job_id, digest, states, ends_at, rule)
    select ids[o], digests[ranks[o]],
           case when u ? 'states' then array(select jsonb_array_elements_text(u -> 'states')) end,
           troupe.unique_end(u, moment), u - '{states,on_conflict}'::text[]
      from unnest(acts, p_uniques) with ordinality x(a, u, o) where a = 0 and u is not null;
  end if;
  fates := acts;
  if p_keys is not null then
    perform troupe.close_requests(p_keys, parts, uses, ids, fates);
    if uses && '{2}' then
      select array_agg(coalesce(s.id, x.id) order by x.o), array_agg(coalesce(s.fate, x.fate) order by x.o)
        into ids, fates
        from unnest(ids, fates) with ordinality x(id, fate, o)
        left join (
          select row_number() over (order by c.part, g.n) as o, g.id, g.fate
            from unnest(parts, uses, p_keys) with ordinality c(jobs, used, key, part)
            left join troupe.idempotency i on i.key = c.key and c.used = 2
            cross join lateral (
              select s as n, i.ids[s] as id, i.fates[s] as fate from generate_series(1, c.jobs) s) g) s
          on s.o = x.o;
    end if;
  end if;
end   $$;

CREATE FUNCTION troupe.enqueue_many(p_kinds text[], p_queues text[], p_args jsonb[], p_priorities smallint[], p_max_attempts smallint[] DEFAULT NULL::smallint[], p_timeouts_ms bigint[] DEFAULT NULL::bigint[], p_tags text[] DEFAULT NULL::text[], p_run_at timestamp with time zone[] DEFAULT NULL::timestamp with time zone[], p_delays_ms bigint[] DEFAULT NULL::bigint[], p_limit_keys text[] DEFAULT NULL::text[], p_retries jsonb[] DEFAULT NULL::jsonb[], p_has_room boolean DEFAULT false, p_traceparents text[] DEFAULT NULL::text[], p_own boolean DEFAULT false) RETURNS bigint[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  ids bigint[];
  shards int[]; -- the lanes of the one pair that all jobs have, or
  lanes int[];  -- the lane of each job
  base int := floor(random() * 4);
begin
  if cardinality(p_kinds) is distinct from cardinality(p_queues)
     or cardinality(p_kinds) is distinct from cardinality(p_args)
     or cardinality(p_kinds) is distinct from cardinality(p_priorities) then
    raise exception 'the arrays must have the same length' using errcode = 'TR400';
  end if;
  if not p_own
     and (p_queues[1] ^@ 'troupe.'
          or (p_queues[1] = all (p_queues)) is not true and array_to_string(p_queues, ' ') ~ '(^| )troupe[.]') then
    perform troupe.check_own_queue('troupe.');
  end if;
  if p_traceparents <> '{}' then -- a function below would cost those without, too
    perform troupe.traced(t) from unnest(p_traceparents) t;
  end if;
  if p_retries <> '{}' then
    perform troupe.check_retries(p_retries);
  end if;
  if exists (select from troupe.queue q where q.max_waiting is not null) and not p_has_room then
    perform troupe.take_room(p_queues, p_run_at, p_delays_ms);
  end if;
  if p_queues[1] = all (p_queues) and p_priorities[1] = all (p_priorities) then
    shards := array(select l.id from troupe.known_lane l
                     where l.queue = p_queues[1] and l.priority = p_priorities[1] and l.shard < 4
                     order by l.shard);
  end if;
  if cardinality(shards) is distinct from 4 then
    if exists (select from unnest(p_queues, p_priorities) g(q, p)
                where not exists (select from troupe.known_lane l
                                   where l.queue = q and l.priority = p and l.shard = 3)) then
      perform troupe.open_lanes(p_queues, p_priorities);
    end if;
    lanes := array(
      select coalesce((select l.id from troupe.known_lane l
                        where l.queue = q and l.priority = p and l.shard = (base + o / 256) % 4),
                      troupe.lane_for(q, p, 0))
        from unnest(p_queues, p_priorities) with ordinality u(q, p, o) order by o);
  end if;
  -- Chunks of 256 alternate between shards, so that nodes can claim a large batch side by side.
  if p_run_at is null and p_delays_ms is null and lanes is null then
    with given as materialized (
      select nextval('troupe.job_id_seq') as id, o, k, q, a, p, m, t, g, lk, rt, tp
        from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                    p_limit_keys, p_retries, p_traceparents)
             with ordinality u(k, q, a, p, m, t, g, lk, rt, tp, o)),
    stored as (
      insert into troupe.job (id, queue, kind, args, priority, max_attempts, timeout_ms, tags, limit_key,
                              retry, meta)
      select id, q, k, a, p, coalesce(m, 20), t, g::text[], lk, rt,
             case when tp <> '' then jsonb_build_object('traceparent', tp) end from given),
    made as (
      insert into troupe.ready (lane, job_id, jobs)
      select shards[1 + (base + g.chunk) % 4], min(g.id), count(*)
        from (select o / 256 as chunk, id, id - o as gap from given) g
       group by g.chunk, g.gap order by min(g.id)),
    counted as (
      insert into troupe.tally (queue, state, jobs) values (p_queues[1], 0, cardinality(p_kinds)))
    select coalesce(array_agg(id order by o), '{}') into ids from given;
    if lanes is not null or troupe.is_slept_on(p_queues[1]) then
      perform troupe.wake(p_queues);
    end if;
    return ids;
  end if;
  with given as materialized (
    select nextval('troupe.job_id_seq') as id, o, k, q, a, p, m, t, g, lk, rt, tp,
           coalesce(lanes[o], shards[1 + (base + o / 256) % 4]) as lane,
           case when d is not null then now() + d * interval '1 millisecond'
                when r > now() then r end as due
      from unnest(p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                  p_run_at, p_delays_ms, p_limit_keys, p_retries, p_traceparents)
           with ordinality u(k, q, a, p, m, t, g, r, d, lk, rt, tp, o)),
  stored as (
    insert into troupe.job (id, queue, kind, args, priority, max_attempts, timeout_ms, tags, run_at,
                            limit_key, retry, meta)
    select id, q, k, a, p, coalesce(m, 20), t, g::text[], due, lk, rt,
           case when tp <> '' then jsonb_build_object('traceparent', tp) end from given),
  made as (
    insert into troupe.ready (lane, job_id, jobs)
    select g.lane, min(g.id), count(*)
      from (select lane, o / 256 as chunk, id, id - row_number() over (partition by lane order by o) as gap
              from given where due is null) g
     group by g.lane, g.chunk, g.gap order by min(g.id)),
  waits as (
    insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
    select id, due, lane, 1, 1 from given where due is not null),
  counted as (
    insert into troupe.tally (queue, state, jobs)
    select p_queues[1], 0, cardinality(p_kinds) where lanes is null
    union all
    select q, 0, count(*) from unnest(p_queues) q where lanes is not null group by q)
  select coalesce(array_agg(id order by o), '{}') into ids from given;
  perform troupe.wake_for_deferred(p_queues, p_run_at, p_delays_ms);
  return ids;
end $$;

CREATE FUNCTION troupe.entries_ahead(p_job bigint, p_attempt smallint, p_queue text, p_priority smallint, p_most integer, OUT ahead bigint, OUT more boolean) RETURNS record
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  with entry as materialized (
    select l.priority, e.xact, e.seq, g.job_id, e.attempt
      from troupe.lane l cross join lateral (
        -- One writer at a time: `= any` is not sure to go by index, and behind the cursor lies all history.
        (select r.*, 0 as skip from unnest(l.open) o(writer) cross join lateral (
           select x.* from troupe.ready x where x.lane = l.id and x.xact = o.writer limit p_most + 1) r
          limit p_most + 1)
        union all
        (select r.*, case when r.xact = l.late_xact and r.seq = l.late_seq + 1 then l.late_part else 0 end
           from unnest(l.draining) o(writer) cross join lateral (
             select x.* from troupe.ready x
              where x.lane = l.id and x.xact = o.writer and (x.xact, x.seq) > (l.late_xact, l.late_seq)
              limit p_most + 1) r
          limit p_most + 1)
        union all
        (select r.*, case when r.xact = l.xact and r.seq = l.seq + 1 then l.part else 0 end
           from troupe.ready r where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq)
          order by r.xact, r.seq limit p_most + 1)) e
      cross join generate_series(e.job_id + e.skip, e.job_id + e.jobs - 1) g(job_id)
     where l.queue = p_queue and l.priority <= p_priority),
  mine as (
    select e.* from entry e where e.job_id = p_job and e.attempt = p_attempt
     order by e.xact desc, e.seq desc limit 1),
  before as (
    select from entry e cross join mine m
     where (e.priority, e.xact, e.seq, e.job_id) < (m.priority, m.xact, m.seq, m.job_id)
       and not exists (select from troupe.revoked v
                        where v.job_id = e.job_id and v.attempt = e.attempt offset 0)
     limit p_most + 1)
  select case when exists (select from mine) then (select count(*) from before)
              when (select count(*) from entry) > p_most then p_most + 1 end
    into ahead;
  more := coalesce(ahead > p_most, false);
  ahead := least(ahead, p_most);
end $$;

CREATE FUNCTION troupe.entries_wanted(p_partition text) RETURNS boolean
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $_$
declare
  wanted boolean;
begin
  execute format(
    'select exists (
       select from troupe.lane_now l
        where exists (select from troupe.%1$I r where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq))
           or exists (select from troupe.%1$I r where r.lane = l.id and r.xact = any (l.open || l.draining)))',
    p_partition) into wanted;
  return wanted;
end $_$;

CREATE FUNCTION troupe.expect_queue(p_queue text, p_versions bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '2s'
    AS $$
declare
  stands bigint;
begin
  perform troupe.stop_claims(p_queue);
  begin
    -- Before the queue, as troupe.retry and troupe.order_queue.
    perform from troupe.job j
      where j.id = (select x.head_job from troupe.queue x where x.name = p_queue) for update;
    select x.version into stands from troupe.queue x where x.name = p_queue for update;
    if stands is null and exists (select from troupe.known_lane l where l.queue = p_queue) then
      -- It has jobs, and nobody has said anything of it. A row that is there is one that can be held.
      insert into troupe.queue (name, version) values (p_queue, 0) on conflict (name) do nothing;
      select x.version into stands from troupe.queue x where x.name = p_queue for update;
    end if;
  exception when lock_not_available then
    raise exception 'a long transaction changes queue "%" or its first job; try again later', p_queue
      using errcode = 'TR409';
  end;
  if stands is null then
    raise exception 'there is no queue "%"', p_queue using errcode = 'TR412';
  elsif stands <> all (p_versions) then
    raise exception 'queue "%" has been changed: it stands at version %', p_queue, stands using errcode = 'TR412';
  end if;
end $$;

CREATE FUNCTION troupe.expire_jobs(p_span interval DEFAULT '1 day'::interval, p_chunk integer DEFAULT 20000, OUT step text, OUT low bigint, OUT dropped bigint, OUT kept bigint) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
declare
  most_kept constant int := 20000;  -- and a tenth of the partition
  most_alive constant int := 2000;  -- copied while everybody waits
  newest constant bigint := (select case when is_called then last_value else 0 end from troupe.job_id_seq);
  shortest constant interval := (select min(least(r.completed, r.cancelled, r.discarded))
                                   from troupe.retention r);
  part troupe.partition;
  found_at bigint;
  alive bigint;
begin
  dropped := 0; kept := 0;
  if shortest is null
     -- One snapshot for all statements would not show what was committed before the locks came.
     or current_setting('transaction_isolation') <> 'read committed'
     or not pg_try_advisory_xact_lock(72331733, 2) then
    return;
  end if;
  if troupe.cut_jobs(p_span) then
    step := 'cut';
    return;
  end if;
  -- Locked: ages that are set meanwhile wait, and then have it looked through anew.
  select * into part from troupe.partition p where p.what = 'jobs' and p.looked_to is not null for update;
  if not found then
    for part in
      select * from troupe.partition p
       where p.what = 'jobs' and p.high <= newest and p.look_at <= now() order by p.look_at, p.low
    loop
      continue when (select j.created_at from troupe.job j where j.id >= part.low and j.id < part.high
                      order by j.id desc limit 1) > now() - shortest;
      low := part.low;
      exit;
    end loop;
    if low is null then
      return;
    end if;
    select * into part from troupe.partition p where p.what = 'jobs' and p.low = part.low for update;
    if not part.sealed then
      step := case when troupe.seal_jobs(part.low) then 'sealed' else 'busy' end;
      return;
    end if;
    delete from troupe.touched t where t.job_id >= part.low and t.job_id < part.high;
    delete from troupe.straggler s;
    delete from troupe.expiring x;
    part.looked_to := part.low; part.looked_jobs := 0;
  end if;

  low := part.low;
  step := 'looked';
  found_at := (select j.id from troupe.job j where j.id >= part.looked_to and j.id < part.high
                order by j.id limit 1);
  if found_at is not null then
    part.looked_to := least(part.high, found_at + p_chunk);
    part.looked_jobs := part.looked_jobs + troupe.look_through(found_at, part.looked_to);
  else
    part.looked_to := null;
  end if;
  select count(*), count(*) filter (where s.alive) into kept, alive from troupe.straggler s;
  if kept > most_kept or alive > most_alive
     or part.looked_to is null and kept > 0 and kept > part.looked_jobs / 10 then
    step := 'waits';
    part.looked_to := null;
    part.look_at := now() + least(greatest(shortest / 20, interval '1 minute'), interval '1 hour');
  elsif part.looked_to is null then
    step := troupe.swap_jobs(part.low, part.high, kept > 0);
    if step = 'moved' then -- only when all but a tenth of these have gone, too, it is worth it again
      part.look_at := now() + interval '1 hour';
    elsif step = 'busy' then
      part.look_at := now() + interval '1 minute';
    end if;
    if step in ('moved', 'dropped') then
      dropped := part.looked_jobs - kept;
      insert into troupe.expiry as e (low, high, dropped, kept) values (part.low, part.high, dropped, kept);
      delete from troupe.expiry e where e.id <= (select max(x.id) from troupe.expiry x) - 100;
    end if;
  end if;
  update troupe.partition p
     set look_at = part.look_at, looked_to = part.looked_to, looked_jobs = part.looked_jobs
   where p.what = 'jobs' and p.low = part.low;
end $$;

CREATE FUNCTION troupe.export_runs() RETURNS TABLE(job_id bigint, attempt smallint, chunks integer, bytes bigint)
    LANGUAGE sql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
  with recursive runs as (
    (select c.job_id, c.attempt from troupe.export_chunk c order by c.job_id, c.attempt limit 1)
    union all
    select n.job_id, n.attempt
      from runs r
      cross join lateral (
        select c.job_id, c.attempt from troupe.export_chunk c
         where (c.job_id, c.attempt, c.nth) > (r.job_id, r.attempt, 2147483647)
         order by c.job_id, c.attempt, c.nth limit 1) n)
  select r.job_id, r.attempt, l.nth + 1, (l.nth + 1) * 262144::bigint
    from runs r
    cross join lateral (
      select c.nth from troupe.export_chunk c where c.job_id = r.job_id and c.attempt = r.attempt
       order by c.nth desc limit 1) l;
$$;

CREATE FUNCTION troupe.export_time(p_time timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE
    AS $$ select btrim(to_json(p_time at time zone 'UTC')::text, '"') || 'Z' $$;

CREATE FUNCTION troupe.find_jobs(p_state text, p_before bigint, p_queue text, p_kind text, p_tags text[], p_limit_key text, p_from timestamp with time zone, p_until timestamp with time zone, p_args jsonb, p_limit integer, p_looks integer, p_patience interval, OUT ids bigint[], OUT next bigint) RETURNS record
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.find_token(p_hash bytea, OUT id bigint, OUT name text, OUT role text, OUT queues text[], OUT standing text, OUT left_ms bigint) RETURNS SETOF record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS $$
declare
  today constant date := (clock_timestamp() at time zone 'UTC')::date;
begin
  update troupe.token t set last_used_on = today
   where t.hash = p_hash and t.last_used_on is distinct from today and troupe.token_standing(t) = 'live';
  return query
    select t.id, t.name, t.role, t.queues, troupe.token_standing(t),
           case when t.expires_at is not null then -- greatest() passes over nulls
             greatest(0, floor(extract(epoch from t.expires_at - clock_timestamp()) * 1000))::bigint end
      from troupe.token t where t.hash = p_hash;
end $$;

CREATE FUNCTION troupe.finish(node bigint, lease bigint, job bigint, attempt integer, outcome text DEFAULT 'completed'::text, result jsonb DEFAULT NULL::jsonb, error text DEFAULT NULL::text, retry_ms bigint DEFAULT NULL::bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $_$
declare
  code smallint := case outcome when 'completed' then 1 when 'discarded' then 3
                                         when 'failed' then 4 when 'snoozed' then 6 end;
  wait bigint := retry_ms;
  policy jsonb;
  held troupe.lease;
  others boolean;
begin
  if code is null then
    raise exception 'outcome must be completed, failed, discarded or snoozed' using errcode = 'TR400';
  elsif code = 6 and retry_ms is null or retry_ms not between 0 and 315360000000 then
    raise exception 'retry_ms must be 0 to 315360000000, and is needed for snoozed'
      using errcode = 'TR400';
  end if;
  -- Locked, so that two that end at the same time do not each leave the lease to the other.
  select * into held from troupe.lease l where l.id = finish.lease and l.node = finish.node for update;
  if not found or not exists (select from unnest(held.jobs, held.attempts) u(i, a)
                               where u.i = finish.job and u.a = finish.attempt) then
    return false;
  end if;
  if code = 4 and retry_ms is null then
    select j.retry into policy from troupe.job j where j.id = finish.job;
    if policy is not null then
      wait := troupe.retry_pause(policy, attempt, floor(random() * 4294967296)::bigint);
      code := case when wait is null then 3 else 4 end;
    else -- as long as a node of the engine would wait, but for chance
      wait := least(21600000, 1000 * 2 ^ least(attempt - 1, 20));
    end if;
  end if;
  others := exists (select from unnest(held.jobs, held.attempts) u(i, a)
                     where (u.i, u.a) <> (finish.job, finish.attempt::smallint)
                       and not exists (select from troupe.attempt t
                                        where t.job_id = u.i and t.attempt = u.a));
  return (select f.fenced = '{}'
            from troupe.finish($1, case when others then '{}' else array[$2] end,
                               case when others then array[$2] else '{}' end, code = 1, array[$2],
                               array[$3], array[$4]::smallint[], array[code],
                               array[(extract(epoch from now() - held.taken_at) * 1000)::bigint],
                               array[0::bigint], array[$6], array[$7], array[wait]) f);
end $_$;

CREATE FUNCTION troupe.finish(p_node bigint, p_done bigint[], p_held bigint[], p_plain boolean, p_leases bigint[], p_jobs bigint[], p_attempts smallint[], p_outcomes smallint[], p_started_ago_ms bigint[], p_finished_ago_ms bigint[], p_results jsonb[], p_errors text[], p_retry_ms bigint[], OUT fenced bigint[], OUT deferred bigint) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.finish_by_worker(p_node bigint, p_session bytea, p_token bigint, p_leases bigint[], p_jobs bigint[], p_attempts smallint[], p_outcomes smallint[], p_results jsonb[], p_errors text[], p_waits_ms bigint[], p_tell boolean DEFAULT false, OUT fates smallint[], OUT next_ms bigint, OUT steered text[], OUT told_jobs bigint[], OUT told_ms bigint[], OUT told_outcomes smallint[], OUT told_queues text[], OUT told_kinds text[], OUT told_traces text[]) RETURNS record
    LANGUAGE plpgsql
    AS $$
begin
  perform troupe.check_worker(p_node, p_session, p_token);
  select e.fates, e.next_ms, e.steered, e.told_jobs, e.told_ms, e.told_outcomes, e.told_queues, e.told_kinds,
         e.told_traces
    into fates, next_ms, steered, told_jobs, told_ms, told_outcomes, told_queues, told_kinds, told_traces
    from troupe.end_runs(p_node, p_leases, p_jobs, p_attempts, p_outcomes, p_results, p_errors, p_waits_ms, p_tell) e;
end $$;

CREATE FUNCTION troupe.fold_keys(p_queue text, p_all boolean) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.fold_tallies(p_most integer DEFAULT 200000) RETURNS bigint
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  folded bigint := 0;
  one text;
begin
  for one in
    select k.name from (select distinct l.queue as name from troupe.known_lane l
                        union
                        select q.name from troupe.queue q) k
      left join troupe.tally_base b on b.queue = k.name
     where b.open <> '{}'
        or exists (select from troupe.tally t where t.queue = k.name and t.xact > coalesce(b.xact, '0'))
     order by random()
  loop
    exit when folded >= p_most;
    folded := folded + troupe.fold_tally(one, p_most);
  end loop;
  return folded;
end $$;

CREATE FUNCTION troupe.fold_tally(p_queue text, p_limit integer) RETURNS bigint
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  b troupe.tally_base;
  snap pg_snapshot;
  own xid8;
  top xid8;
  still_open xid8[];
  n bigint;
  sums bigint[];
begin
  select * into b from troupe.tally_base x where x.queue = p_queue for update skip locked;
  if not found then
    -- Somebody folds it, or nobody did before. To insert beside an update would wait for it, and two that
    -- fold many queues must not wait for each other.
    if exists (select from troupe.tally_base x where x.queue = p_queue)
       or not pg_try_advisory_xact_lock(hashtextextended('tally of ' || p_queue, 7)) then
      return 0;
    end if;
    insert into troupe.tally_base (queue) values (p_queue) on conflict do nothing;
    select * into b from troupe.tally_base x where x.queue = p_queue for update skip locked;
    if not found then
      return 0;
    end if;
  end if;
  own := pg_current_xact_id();
  -- One statement: what is read and what counts as still open come from one snapshot. What the own
  -- transaction has told is left: it may tell more.
  with late as materialized (
    select t.xact, t.state, t.jobs from unnest(b.open) o(writer) cross join lateral (
      select * from troupe.tally x where x.queue = p_queue and x.xact = o.writer offset 0) t
     where o.writer <> own),
  fresh as materialized (
    select t.xact, t.state, t.jobs from troupe.tally t
     where t.queue = p_queue and t.xact > b.xact and t.xact <> own
     order by t.xact fetch first (p_limit) rows with ties),
  seen as (select * from late union all select * from fresh)
  select count(*), (select f.xact from fresh f order by f.xact desc limit 1), pg_current_snapshot(),
         array(select coalesce(sum(s.jobs), 0) from generate_series(0, 5) g(state)
                 left join seen s on s.state = g.state group by g.state order by g.state)
    into n, top, snap, sums
    from seen;
  top := coalesce(top, b.xact);
  still_open := array(select o from unnest(b.open) o where o = own or not pg_visible_in_snapshot(o, snap))
       || array(select x from pg_snapshot_xip(snap) x where x > b.xact and x < top and x <> own);
  if own > b.xact and own < top then
    still_open := still_open || own;
  end if;
  if n = 0 and still_open = b.open then
    return 0;
  end if;
  delete from troupe.tally t
   where t.queue = p_queue and t.xact > b.xact and t.xact <= top and t.xact <> all (still_open);
  delete from troupe.tally t using unnest(b.open) o
   where o <> all (still_open) and t.queue = p_queue and t.xact = o;
  update troupe.tally_base x
     set xact = top, open = still_open, jobs = x.jobs + sums[1], completed = x.completed + sums[2],
         cancelled = x.cancelled + sums[3], discarded = x.discarded + sums[4],
         retryable = x.retryable + sums[5], scheduled = x.scheduled + sums[6]
   where x.queue = p_queue;
  return n;
end $$;

CREATE FUNCTION troupe.forget_ages(p_queue text, OUT queue text, OUT completed_ms bigint, OUT cancelled_ms bigint, OUT discarded_ms bigint, OUT changed jsonb) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS $$
#variable_conflict use_column
begin
  perform from troupe.retention r where r.queue = '' for update;
  perform from troupe.retention r where r.queue = p_queue and p_queue <> '';
  if not found then
    raise exception 'the queue % has no ages of its own', p_queue using errcode = 'TR404';
  end if;
  changed := troupe.told_ages(p_queue);
  perform troupe.retain_as_others(p_queue);
  changed := troupe.differences(changed, troupe.told_ages(p_queue));
  select a.* into queue, completed_ms, cancelled_ms, discarded_ms from troupe.ages_of('') a;
end $$;

CREATE FUNCTION troupe.forget_audit(p_most integer DEFAULT 10000) RETURNS bigint
    LANGUAGE sql
    SET enable_seqscan TO 'off'
    AS $$
  with bound as materialized (
    select clock_timestamp() - troupe.kept_for('audit') as at, max(id) - 1000000 as id from troupe.audit),
  old as materialized (
    select o.id
      from (select a.id, a.at from troupe.audit a order by a.id
             limit case when (select f.at < b.at or f.id <= b.id from troupe.audit f, bound b
                               order by f.id limit 1) then p_most else 0 end) o, bound b
     where o.at < b.at or o.id <= b.id),
  gone as (delete from troupe.audit a where a.id in (select id from old) returning 1)
  select count(*) from gone;
$$;

CREATE FUNCTION troupe.forget_keys(p_limit integer DEFAULT 20000, OUT keys_dropped bigint, OUT requests_dropped bigint) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  begin_at constant bytea := sha256(random()::text::bytea);
  looked_at bytea[];
begin
  looked_at := array(select digest from troupe.unique_key where digest >= begin_at
                      order by digest limit p_limit);
  looked_at := looked_at || array(select digest from troupe.unique_key where digest < begin_at
                                   order by digest limit p_limit - cardinality(looked_at));
  -- Locked by one statement and judged by the next: what an enqueue has done meanwhile must be seen.
  looked_at := array(select digest from troupe.unique_key where digest = any (looked_at)
                      for update skip locked);
  delete from troupe.unique_key k
   where k.digest = any (looked_at)
     and not exists (
       select from troupe.unique_job u
         join troupe.job j on j.id = u.job_id
         left join lateral (select t.outcome, t.reopened from troupe.attempt t where t.job_id = u.job_id
                             order by t.attempt desc limit 1) a on true
        where u.job_id = k.job_id
          -- An hour more: who has made his key before may still wait for its row.
          and (u.ends_at is null or u.ends_at > now() - interval '1 hour')
          and (a.outcome is null or a.outcome not in (1, 2, 3) or a.reopened
               or (array['completed', 'cancelled', 'discarded'])[a.outcome] = any (u.states)));
  get diagnostics keys_dropped = row_count;
  delete from troupe.unique_job u
   where u.job_id in (select x.job_id from troupe.unique_job x order by x.job_id limit p_limit)
     and not exists (select from troupe.job j where j.id = u.job_id offset 0);
  delete from troupe.idempotency
   where key in (select i.key from troupe.idempotency i where i.created_at < now() - troupe.kept_for('idempotency_keys')
                  order by i.created_at limit p_limit for update skip locked);
  get diagnostics requests_dropped = row_count;
end $$;

CREATE FUNCTION troupe.free_keys(p_node bigint, p_done bigint[], p_leases bigint[], p_jobs bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.free_keys_of_node() RETURNS trigger
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  insert into troupe.key_end (queue, node, lease)
  select distinct k.queue, k.node, k.lease from troupe.key_run k where k.node = new.id
  union all
  select b.queue, b.node, b.lease from troupe.key_batch b where b.node = new.id;
  return null;
end $$;

CREATE FUNCTION troupe.get_job(p_job bigint) RETURNS TABLE(id bigint, queue text, kind text, priority smallint, state text, args jsonb, attempt integer, max_attempts smallint, timeout_ms bigint, tags text[], run_at timestamp with time zone, created_at timestamp with time zone, taken_at timestamp with time zone, node text, limit_key text, retry jsonb, percent double precision, message text, told_attempt smallint, told_at timestamp with time zone, traceparent text)
    LANGUAGE plpgsql STABLE ROWS 1
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  select j.id, j.queue, j.kind, j.priority,
         case when d.job_id is not null
                then case d.reason when 2 then 'retryable' else 'scheduled' end
              when a.outcome in (1, 2, 3) and not a.reopened
                then (array['completed', 'cancelled', 'discarded'])[a.outcome]
              when r.taken_at is not null then 'running'
              else 'available' end as state,
         j.args, case when r.taken_at is not null then coalesce(a.attempt, 0) + 1
                      else coalesce(a.attempt, 0) end as attempt,
         j.max_attempts, j.timeout_ms, coalesce(j.tags, '{}') as tags,
         coalesce(d.due_at, j.run_at, j.created_at) as run_at, j.created_at, r.taken_at, r.node, j.limit_key,
         j.retry, p.percent, p.message, p.attempt, p.updated_at, j.meta ->> 'traceparent'
    from troupe.job j
    left join troupe.deferred d on d.job_id = p_job
    left join (
      select * from troupe.attempt t where t.job_id = p_job order by t.attempt desc limit 1) a on true
    left join lateral (
      select l.taken_at, n.name as node
        from troupe.lease l, unnest(l.jobs, l.attempts) u(i, n_attempt), troupe.node n
       where l.jobs @> array[p_job] and u.i = p_job and u.n_attempt = coalesce(a.attempt, 0) + 1
         and n.id = l.node
       limit 1) r on true
    left join troupe.progress p on p.job_id = p_job
   where j.id = p_job;
end $$;

CREATE FUNCTION troupe.get_jobs(p_jobs bigint[]) RETURNS TABLE(id bigint, queue text, kind text, priority smallint, state text, args jsonb, attempt integer, max_attempts smallint, timeout_ms bigint, tags text[], run_at timestamp with time zone, created_at timestamp with time zone, taken_at timestamp with time zone, node text, limit_key text, retry jsonb, percent double precision, message text, told_attempt smallint, told_at timestamp with time zone, traceparent text)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  with run as materialized (
    select u.i, u.n_attempt, l.taken_at, n.name as node
      from troupe.lease l cross join unnest(l.jobs, l.attempts) u(i, n_attempt)
      join troupe.node n on n.id = l.node
     where u.i = any (p_jobs))
  select j.id, j.queue, j.kind, j.priority,
         case when d.job_id is not null
                then case d.reason when 2 then 'retryable' else 'scheduled' end
              when a.outcome in (1, 2, 3) and not a.reopened
                then (array['completed', 'cancelled', 'discarded'])[a.outcome]
              when r.taken_at is not null then 'running'
              else 'available' end as state,
         j.args, case when r.taken_at is not null then coalesce(a.attempt, 0) + 1
                      else coalesce(a.attempt, 0) end as attempt,
         j.max_attempts, j.timeout_ms, coalesce(j.tags, '{}') as tags,
         coalesce(d.due_at, j.run_at, j.created_at) as run_at, j.created_at, r.taken_at, r.node, j.limit_key,
         j.retry, p.percent, p.message, p.attempt, p.updated_at, j.meta ->> 'traceparent'
    from unnest(p_jobs) w(id)
    join troupe.job j on j.id = w.id
    left join troupe.deferred d on d.job_id = j.id
    left join lateral (
      select * from troupe.attempt t where t.job_id = j.id order by t.attempt desc limit 1) a on true
    left join run r on r.i = j.id and r.n_attempt = coalesce(a.attempt, 0) + 1
    left join troupe.progress p on p.job_id = j.id;
end $$;

CREATE FUNCTION troupe.has_key_limits(p_queue text) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  select exists (select from troupe.queue q
                  where q.name = p_queue
                    and (q.key_concurrency is not null or q.key_rate is not null));
$$;

CREATE FUNCTION troupe.head_state(p_job bigint, p_lease bigint, OUT state text, OUT attempt smallint, OUT node bigint, OUT final boolean, OUT due_at timestamp with time zone) RETURNS record
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.heads_among(p_queues text[], p_jobs bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  return array(select q.head_job from troupe.queue q
                where q.name = any (p_queues) and q.head_job = any (p_jobs) for key share);
end $$;

CREATE FUNCTION troupe.heartbeat(node bigint, OUT alive boolean, OUT cancelled bigint[]) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
begin
  update troupe.node n set heartbeat_at = clock_timestamp()
   where n.id = heartbeat.node and n.ended_at is null;
  alive := found;
  cancelled := array(
    select u.i from troupe.live_leases(heartbeat.node) l, unnest(l.jobs, l.attempts) u(i, a)
     where (select exists (select from troupe.revoked))
       and exists (select from troupe.revoked v where v.job_id = u.i and v.attempt = u.a offset 0));
end $$;

CREATE FUNCTION troupe.hold_keys(p_digests bytea[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  insert into troupe.unique_key (job_id, digest)
  select 0, d from (select distinct d from unnest(p_digests) d where d is not null) x order by d
  on conflict (digest) do update set job_id = excluded.job_id where false; -- locks it
end $$;

CREATE FUNCTION troupe.hold_lanes(p_lanes integer[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  one int;
begin
  for one in select distinct u.id from unnest(p_lanes) u(id) order by u.id loop
    perform from troupe.lane x
      where x.id = one and x.era >= (select l.era from troupe.lane l where l.id = one order by l.era desc limit 1)
        for update;
  end loop;
end $$;

CREATE FUNCTION troupe.hold_limits(p_queue text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
begin
  perform pg_advisory_xact_lock(hashtextextended('limits of ' || p_queue, 72331733));
  return coalesce(troupe.limits_of(p_queue), '{"ordered": false}');
end $$;

CREATE FUNCTION troupe.hold_waiting(p_jobs bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  perform from troupe.job j where j.id = any (p_jobs) order by j.id for update;
  perform from troupe.deferred d where d.job_id = any (p_jobs) order by d.job_id for update;
  perform troupe.hold_lanes(array(
    select l.id from troupe.known_lane l
     where (l.queue, l.priority) in (select j.queue, j.priority from troupe.job j
                                      where j.id = any (p_jobs)
                                        and not exists (select from troupe.deferred d
                                                         where d.job_id = j.id))));
end $$;

CREATE FUNCTION troupe.ids_since(p_time timestamp with time zone, p_lag interval, p_below bigint) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.is_quiet(p_node bigint) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
  return (select n.wanted is not null from troupe.node n where n.id = p_node);
end $$;

CREATE FUNCTION troupe.is_running(p_job bigint) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  select exists (
    select from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
     where l.jobs @> array[p_job] and u.i = p_job
       and not exists (select from troupe.attempt t where t.job_id = u.i and t.attempt = u.a));
$$;

CREATE FUNCTION troupe.is_slept_on(p_queue text) RETURNS boolean
    LANGUAGE sql
    AS $$
  select case when pg_try_advisory_xact_lock_shared(72331735, hashtext(p_queue) & 255)
              then case when pg_try_advisory_lock(troupe.sleep_lock(p_queue))
                        then not pg_advisory_unlock(troupe.sleep_lock(p_queue)) else true end
              else true end;
$$;

CREATE FUNCTION troupe.is_whole(p_value jsonb, p_most bigint) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    AS $$
begin
  return case jsonb_typeof(p_value)
    when 'number' then (p_value #>> '{}')::numeric between 0 and p_most
                       and (p_value #>> '{}')::numeric = trunc((p_value #>> '{}')::numeric)
    else false end;
end $$;

CREATE FUNCTION troupe.job_fits(want_queue text, want_kind text, want_tags text[], want_limit_key text, want_from timestamp with time zone, want_before timestamp with time zone, want_args jsonb, queue text, kind text, tags text[], limit_key text, created_at timestamp with time zone, args jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
  select (want_queue is null or queue = want_queue)
     and (want_kind is null or kind = want_kind)
     and (want_from is null or created_at >= want_from)
     and (want_before is null or created_at < want_before)
     and (want_limit_key is null or limit_key = want_limit_key)
     and (want_tags is null or tags @> want_tags)
     and (want_args is null or args @> want_args);
$$;

CREATE FUNCTION troupe.jobs_of(p_ids bigint[]) RETURNS TABLE(id bigint, queue text, kind text, priority smallint, state text, args jsonb, attempt smallint, max_attempts smallint, timeout_ms bigint, tags text[], run_at timestamp with time zone, created_at timestamp with time zone, limit_key text, node text, taken_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  select j.id, j.queue, j.kind, j.priority,
         case when d.job_id is not null
                then case d.reason when 2 then 'retryable' else 'scheduled' end
              when a.outcome in (1, 2, 3) and not a.reopened
                then (array['completed', 'cancelled', 'discarded'])[a.outcome]
              when r.i is not null then 'running'
              else 'available' end,
         j.args, coalesce(a.attempt, 0::smallint), j.max_attempts, j.timeout_ms,
         coalesce(j.tags, '{}'), coalesce(d.due_at, j.run_at, j.created_at), j.created_at, j.limit_key,
         case when r.i is not null then (select n.name from troupe.node n where n.id = r.node) end, r.taken_at
    from troupe.job j
    left join lateral (
      select x.job_id, x.reason, x.due_at from troupe.deferred x where x.job_id = j.id offset 0) d on true
    left join (
      select distinct on (t.job_id) t.job_id, t.attempt, t.outcome, t.reopened
        from troupe.attempt t where t.job_id = any (p_ids)
       order by t.job_id, t.attempt desc) a on a.job_id = j.id
    left join (
      select u.i, u.n, l.node, l.taken_at from troupe.lease l, unnest(l.jobs, l.attempts) u(i, n)
       where l.jobs && p_ids and u.i = any (p_ids)) r on r.i = j.id and r.n = coalesce(a.attempt, 0) + 1
   where j.id = any (p_ids)
   order by j.id desc;
end $$;

CREATE FUNCTION troupe.join_node(name text) RETURNS bigint
    LANGUAGE plpgsql
    AS $_$
begin
  if (name ~ '^[A-Za-z0-9._:-]{1,128}$') is not true then
    raise exception 'name must be 1 to 128 of A-Z a-z 0-9 . _ : -' using errcode = 'TR400';
  end if;
  perform troupe.rebase_lanes(); -- in case this database was restored from a dump
  return troupe.add_node(name);
end $_$;

CREATE FUNCTION troupe.join_worker(p_name text, p_queues text[], p_kinds text[], p_slots integer, p_version text, p_lease_ms integer, p_session bytea, p_token bigint) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
  ahead constant interval := greatest(0, p_lease_ms - 4000) * interval '1 ms'; -- 4 s: what any node has
  worker bigint;
begin
  perform troupe.rebase_lanes(); -- in case this database was restored from a dump
  insert into troupe.node (name, serves, kinds, slots, slot_queues, queue_slots, version, patience, heartbeat_at,
                           session, token)
  values (p_name, p_queues, p_kinds, p_slots, p_queues, array_fill(p_slots, array[cardinality(p_queues)]),
          p_version, ahead, clock_timestamp() + ahead, p_session, p_token)
  returning id into worker;
  return worker;
end $$;

CREATE FUNCTION troupe.keep_export(p_job bigint, p_attempt smallint, p_bytes bigint, p_rows bigint, p_sha256 bytea, p_life interval) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
declare
  moment constant timestamptz := clock_timestamp();
begin
  if (select count(*) from troupe.export_chunk c where c.job_id = p_job and c.attempt = p_attempt)
     <> (p_bytes + 262143) / 262144 then
    raise exception 'chunks of export % are missing', p_job using errcode = 'TR409';
  end if;
  update troupe.export e
     set attempt = p_attempt, bytes = p_bytes, rows = p_rows, sha256 = p_sha256, finished_at = moment,
         expires_at = moment + p_life, over = false
   where e.job_id = p_job;
  if not found then
    raise exception 'there is no export %', p_job using errcode = 'TR404';
  end if;
end $$;

CREATE FUNCTION troupe.keep_permits(p_node bigint, p_queues text[], p_keep integer[], p_changes bigint[], OUT permits integer[], OUT changes bigint[]) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.keeps_what_died() RETURNS boolean
    LANGUAGE sql
    AS $$
  select exists (select from pg_stat_activity a where age(a.backend_xmin) > 1000 and a.pid <> pg_backend_pid())
         or exists (select from pg_replication_slots r where age(r.xmin) > 1000)
         or exists (select from pg_prepared_xacts p where age(p.transaction) > 1000);
$$;

CREATE FUNCTION troupe.kept_for(p_what text) RETURNS interval
    LANGUAGE sql IMMUTABLE
    AS $$
  select case p_what when 'audit' then interval '90 days'
                     when 'bulk_operations' then interval '7 days'
                     when 'idempotency_keys' then interval '24 hours'
                     when 'tokens' then interval '90 days' end; -- once dead
$$;

CREATE TABLE troupe.key_end (
    id bigint NOT NULL,
    node bigint NOT NULL,
    lease bigint NOT NULL,
    queue text NOT NULL,
    jobs bigint[],
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL
);
ALTER TABLE ONLY troupe.key_end ALTER COLUMN jobs SET STORAGE EXTERNAL;

CREATE FUNCTION troupe.key_ends(p_queue text) RETURNS SETOF troupe.key_end
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.key_rooms(p_queue text, p_keys text[], p_new boolean) RETURNS integer[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  q troupe.queue;
  each numeric; -- milliseconds
  used bigint[];
  gen constant int := (troupe.key_state_of(p_queue)).generation;
  aside boolean := p_new and exists (select from troupe.parked p where p.queue = p_queue and p.generation = gen);
begin
  select * into q from troupe.queue x where x.name = p_queue;
  each := q.key_rate_period_ms::numeric / q.key_rate;
  if q.key_concurrency is not null then
    used := troupe.runs_of_keys(p_queue, p_keys);
  end if;
  return (
    select array_agg(
             case when aside and exists (select from troupe.parked p
                                          where p.queue = p_queue and p.generation = gen and p.limit_key = u.k) then -1
                  else greatest(0, least(
                    q.key_concurrency - u.n,
                    case when q.key_rate is not null then
                      floor((q.key_rate_burst * each + 0.001 - 1000 * greatest(0, coalesce((
                               select extract(epoch from x.rate_at - clock_timestamp())
                                 from troupe.key_pace x
                                where x.queue = p_queue and x.generation = gen and x.limit_key = u.k), 0))) / each) end))::int end
             order by u.o)
      from unnest(p_keys, used) with ordinality u(k, n, o));
end $$;

CREATE TABLE troupe.key_state (
    served_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    moves bigint DEFAULT 0 NOT NULL,
    era bigint DEFAULT 0 NOT NULL,
    batches_from bigint DEFAULT 0,
    ends_from xid8 DEFAULT '0'::xid8 NOT NULL,
    ends_open xid8[] DEFAULT '{}'::xid8[] NOT NULL,
    spent bigint DEFAULT 0 NOT NULL,
    generation integer DEFAULT 0 NOT NULL,
    queue text NOT NULL
)
WITH (fillfactor='50');

CREATE FUNCTION troupe.key_state_of(p_queue text) RETURNS troupe.key_state
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
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

CREATE FUNCTION troupe.keys_changed(p_queue text, p_before boolean) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '2s'
    AS $$
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
    delete from troupe.key_batch where queue = p_queue;
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
    insert into troupe.key_run (lease, node, queue, generation, limit_key, jobs)
    select l.id, l.node, p_queue, (troupe.key_state_of(p_queue)).generation, j.limit_key, array_agg(j.id)
      from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a) join troupe.job j on j.id = u.i
     where j.queue = p_queue and j.limit_key is not null
       and not exists (select from troupe.attempt t -- a cancelled one may run on: its node has yet to end it
                        where t.job_id = u.i and t.attempt = u.a and t.outcome <> 2)
     group by l.id, l.node, j.limit_key;
  elsif now_limited then
    perform troupe.note_keys(p_queue, array(select k.limit_key collate "default"
                                              from (select distinct p.limit_key from troupe.parked p
                                                     where p.queue = p_queue order by p.limit_key) k));
  end if;
end $$;

CREATE FUNCTION troupe.keys_in(p_jobs bigint[], p_queue text) RETURNS TABLE(job_id bigint, digest bytea, old bytea, states text[])
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  return query
  select g.i, case when u.rule is not null
                   then troupe.unique_digest_in(j.kind, p_queue, j.args, u.rule, u.ends_at) end,
         u.digest, coalesce(u.states, '{scheduled,available,running,retryable}')
    from unnest(p_jobs) g(i)
    cross join lateral (
      select x.* from troupe.unique_job x
       where x.job_id = g.i and (x.ends_at is null or x.ends_at > clock_timestamp())
         and (x.rule is null or x.rule -> 'queue' = 'true') offset 0) u
    cross join lateral (select x.kind, x.args from troupe.job x where x.id = g.i offset 0) j;
end $$;

CREATE FUNCTION troupe.know_lanes() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  insert into troupe.known_lane (id, queue, priority, shard)
  select m.id, m.queue, m.priority, m.shard from made m on conflict do nothing;
  if exists (select from made m where not exists (select from troupe.known_lane k where k.id = m.id)) then
    raise exception 'lanes of this queue were made by a newer program meanwhile' using errcode = '40001';
  end if;
  return null;
end $$;

CREATE FUNCTION troupe.lane_for(p_queue text, p_priority smallint, p_n bigint) RETURNS integer
    LANGUAGE sql STABLE
    AS $$
  select l.id from troupe.known_lane l where l.queue = p_queue and l.priority = p_priority
   order by l.shard = p_n % 4 desc, l.shard limit 1;
$$;

CREATE FUNCTION troupe.lanes_of(p_jobs bigint[]) RETURNS TABLE(job_id bigint, lane integer)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  return query
  select g.i, coalesce((select l.id from troupe.known_lane l
                         where l.queue = j.queue and l.priority = j.priority and l.shard = g.i % 4),
                       troupe.lane_for(j.queue, j.priority, g.i))
    from unnest(p_jobs) g(i)
    cross join lateral (select x.queue, x.priority from troupe.job x where x.id = g.i offset 0) j;
end $$;

CREATE FUNCTION troupe.last_words(p_job bigint) RETURNS jsonb
    LANGUAGE sql STABLE
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
  select troupe.differences(jsonb_build_object('kind', j.kind, 'queue', j.queue), '{}')
    from troupe.job j where j.id = p_job;
$$;

CREATE TABLE troupe.ready (
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    seq bigint NOT NULL,
    job_id bigint NOT NULL,
    lane integer NOT NULL,
    attempt smallint DEFAULT 1 NOT NULL,
    jobs smallint DEFAULT 1 NOT NULL
)
PARTITION BY RANGE (seq);

CREATE FUNCTION troupe.late_entries(p_lane integer, p_writers xid8[], p_xact xid8, p_seq bigint, p_limit integer) RETURNS SETOF troupe.ready
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.leased_jobs(p_runs jsonb) RETURNS TABLE(job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind text, args jsonb, retry jsonb, traceparent text)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  firsts bigint[];
  counts int[];
  attempts smallint[];
begin
  select array_agg((r ->> 0)::bigint), array_agg((r ->> 1)::int), array_agg((r ->> 2)::smallint)
    into firsts, counts, attempts from jsonb_array_elements(p_runs) r;
  return query
    select j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args, j.retry, j.meta ->> 'traceparent'
      from unnest(firsts, counts, attempts) u(f, c, a)
      join troupe.job j on j.id between u.f and u.f + u.c - 1;
end $$;

CREATE FUNCTION troupe.leased_of(p_jobs bigint[]) RETURNS TABLE(job_id bigint, attempt smallint, node bigint, taken_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  return query
  with leased as materialized (
    select u.i, u.a, l.node, l.taken_at from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a))
  select x.i, x.a, x.node, x.taken_at from leased x join unnest(p_jobs) g(i) on g.i = x.i;
end $$;

CREATE FUNCTION troupe.leave_node(node bigint) RETURNS void
    LANGUAGE sql
    AS $_$
  update troupe.node n
     set ended_at = case when exists (select from troupe.lease l where l.node = n.id) then null
                         else now() end,
         heartbeat_at = '-infinity'
   where n.id = $1 and n.ended_at is null;
$_$;

CREATE FUNCTION troupe.leave_place(p_queues text[], p_jobs bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  with held as materialized (
    select q.name from troupe.queue q where q.name = any (p_queues) and q.head_job = any (p_jobs)
     order by q.name for no key update)
  update troupe.queue q set head_job = null, head_lease = null, others = q.others || q.head_lease
    from held h where q.name = h.name;
end $$;

CREATE FUNCTION troupe.leave_worker(p_node bigint, p_session bytea, p_token bigint, OUT jobs bigint[], OUT next_ms bigint, OUT steered text[]) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  perform troupe.check_worker(p_node, p_session, p_token);
  perform from troupe.node n where n.id = p_node for update; -- after claims that are under way
  perform troupe.check_worker(p_node, p_session, p_token);
  select b.jobs, b.next_ms, b.steered into jobs, next_ms, steered
    from troupe.put_back(p_node, interval '0', '{}') b;
  update troupe.node n set ended_at = now(), heartbeat_at = '-infinity' where n.id = p_node;
end $$;

CREATE FUNCTION troupe.limit_key_of(p_job bigint) RETURNS text
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  return (select j.limit_key from troupe.job j where j.id = p_job);
end $$;

CREATE FUNCTION troupe.limit_keys(p_queue text, p_concurrency integer) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  before boolean;
begin
  perform troupe.check_queue_name(p_queue);
  perform troupe.check_limit('concurrency', p_concurrency, 1000000);
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

CREATE FUNCTION troupe.limit_queue(p_queue text, p_concurrency integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform troupe.check_queue_name(p_queue);
  perform troupe.check_limit('concurrency', p_concurrency, 1000000);
  if p_concurrency is not null then
    perform troupe.refuse_if_ordered(p_queue);
  end if;
  insert into troupe.queue (name, concurrency) values (p_queue, p_concurrency)
  on conflict (name) do update
     set concurrency = p_concurrency, changed_at = now(), version = queue.version + 1
   where queue.concurrency is distinct from p_concurrency;
end  $$;

CREATE FUNCTION troupe.limit_waiting(p_queue text, p_most integer) RETURNS void
    LANGUAGE sql
    AS $$
  select troupe.check_queue_name(p_queue);
  select troupe.check_limit('most', p_most, 1000000000);
  insert into troupe.queue (name, max_waiting) values (p_queue, p_most)
  on conflict (name) do update
     set max_waiting = p_most, changed_at = now(), version = queue.version + 1
   where queue.max_waiting is distinct from p_most;
$$;

CREATE FUNCTION troupe.limits_of(p_queue text) RETURNS jsonb
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS $$
begin
  return (
    select jsonb_build_object(
             'concurrency', q.concurrency, 'key_concurrency', q.key_concurrency, 'max_waiting', q.max_waiting,
             'ordered', q.ordered,
             'rate', case when q.rate is not null then jsonb_build_object(
                       'jobs', q.rate, 'period_ms', q.rate_period_ms, 'burst', q.rate_burst) end,
             'key_rate', case when q.key_rate is not null then jsonb_build_object(
                           'jobs', q.key_rate, 'period_ms', q.key_rate_period_ms, 'burst', q.key_rate_burst) end)
      from troupe.queue q where q.name = p_queue);
end $$;

CREATE FUNCTION troupe.list_attempts(p_job bigint) RETURNS TABLE(attempt smallint, outcome smallint, node text, started_at timestamp with time zone, finished_at timestamp with time zone, result jsonb, error text)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  select a.attempt, a.outcome, coalesce(n.name, '') as node, a.started_at, a.finished_at, a.result, a.error
    from troupe.attempt a left join troupe.node n on n.id = a.node
   where a.job_id = p_job
   order by a.attempt
   limit 2000;
end $$;

CREATE TABLE troupe.audit (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    token bigint,
    who text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    request text NOT NULL,
    changes jsonb
);

CREATE FUNCTION troupe.list_audit(p_before bigint, p_limit integer) RETURNS SETOF troupe.audit
    LANGUAGE sql STABLE
    SET enable_seqscan TO 'off'
    AS $$
  select * from troupe.audit where id < case p_before when 0 then 9223372036854775807 else p_before end
   order by id desc limit p_limit;
$$;

CREATE FUNCTION troupe.list_counts(p_only text, p_after text, p_limit integer) RETURNS TABLE(queue text, scheduled bigint, available bigint, running bigint, retryable bigint, completed bigint, cancelled bigint, discarded bigint)
    LANGUAGE plpgsql STABLE
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  with known as materialized (
    select k.name from (select distinct l.queue as name from troupe.known_lane l
                        union
                        select q.name from troupe.queue q) k
     where case when p_only is null then k.name > p_after else k.name = p_only end
     order by k.name limit p_limit),
  busy as materialized (select * from troupe.running(array(select k.name from known k)))
  select k.name, t.scheduled,
         t.jobs - t.scheduled - t.retryable - t.completed - t.cancelled - t.discarded - coalesce(b.jobs, 0),
         coalesce(b.jobs, 0), t.retryable, t.completed, t.cancelled, t.discarded
    from known k
   cross join lateral troupe.tallied(k.name) t
    left join busy b on b.queue = k.name
   order by k.name;
end $$;

CREATE FUNCTION troupe.list_exports(p_before bigint, p_only bigint, p_queue text, p_limit integer) RETURNS TABLE(id bigint, created_at timestamp with time zone, args jsonb, state text, attempt smallint, message text, error text, kept boolean, bytes bigint, rows bigint, sha256 bytea, finished_at timestamp with time zone, expires_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
declare
  ids constant bigint[] := array(
    select e.job_id from troupe.export e
     where e.job_id < p_before and (p_only is null or e.job_id = p_only)
       and (p_queue is null or e.args ->> 'queue' = p_queue)
       and exists (select from troupe.job j where j.id = e.job_id offset 0)
     order by e.job_id desc limit p_limit);
begin
  return query
  select e.job_id, e.created_at, e.args, j.state, (j.attempt + (j.state = 'running')::int)::smallint, p.message,
         (select a.error from troupe.attempt a where a.job_id = e.job_id and a.attempt = j.attempt),
         f.kept, case when f.kept then e.bytes end, case when f.kept then e.rows end,
         case when f.kept then e.sha256 end, case when f.kept then e.finished_at end,
         case when f.kept then e.expires_at end
    from troupe.jobs_of(ids) j
    join troupe.export e on e.job_id = j.id
    left join troupe.progress p on p.job_id = e.job_id
    cross join lateral (
      select case when j.state = 'completed'
                    then e.attempt is not distinct from j.attempt and e.expires_at > clock_timestamp() end as kept) f
   order by e.job_id desc;
end $$;

CREATE FUNCTION troupe.list_items(p_crawl bigint, p_after bigint, p_limit bigint) RETURNS TABLE(page bigint, url text, status integer, title text, headings integer, links integer, bytes bigint, fetched_at timestamp with time zone, fields jsonb, error text)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  select page, url, status, title, headings, links, bytes, fetched_at, fields, error
    from troupe.item
   where crawl = p_crawl and page > p_after
   order by page
   limit p_limit;
end $$;

CREATE FUNCTION troupe.list_jobs(p_state text, p_before bigint, p_queue text, p_kind text, p_limit bigint) RETURNS TABLE(id bigint, queue text, kind text, priority smallint, state text, args jsonb, attempt smallint, max_attempts smallint, timeout_ms bigint, tags text[], run_at timestamp with time zone, created_at timestamp with time zone, limit_key text, node text, taken_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'on'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET enable_nestloop TO 'off'
    AS $$
#variable_conflict use_column
declare
  -- Ids of the range for one of the page: to read one is about so much cheaper than to look one up.
  spread constant int := 4;
  ids bigint[];
  low bigint;
  high bigint;
begin
  if p_state is null then
    ids := array(select j.id from troupe.job j
                  where j.id < p_before and (p_queue is null or j.queue = p_queue)
                    and (p_kind is null or j.kind = p_kind)
                  order by j.id desc limit p_limit);
  elsif p_state = 'available' then -- none of the others
    ids := array(select j.id from troupe.job j
                  where j.id < p_before and (p_queue is null or j.queue = p_queue)
                    and (p_kind is null or j.kind = p_kind)
                    and not exists (select from troupe.deferred d where d.job_id = j.id offset 0)
                    and not exists (select from troupe.attempt a
                                     where a.job_id = j.id and a.outcome in (1, 2, 3) and not a.reopened
                                    offset 0)
                    and j.id not in (select u.i from troupe.lease l, unnest(l.jobs, l.attempts) u(i, n)
                                      where not exists (select from troupe.attempt a
                                                         where a.job_id = u.i and a.attempt = u.n offset 0))
                  order by j.id desc limit p_limit);
  elsif p_state in ('scheduled', 'retryable') then
    ids := array(select d.job_id from troupe.deferred d
                  where d.job_id < p_before and (d.reason = 2) = (p_state = 'retryable')
                    and (p_queue is null and p_kind is null
                         or exists (select from troupe.job j
                                     where j.id = d.job_id and (p_queue is null or j.queue = p_queue)
                                       and (p_kind is null or j.kind = p_kind)))
                  order by d.job_id desc limit p_limit);
  elsif p_state = 'running' then -- in a lease, and its attempt has no outcome yet
    ids := array(select u.i from troupe.lease l, unnest(l.jobs, l.attempts) u(i, n)
                  where u.i < p_before
                    and not exists (select from troupe.attempt a
                                     where a.job_id = u.i and a.attempt = u.n offset 0)
                    and (p_queue is null and p_kind is null
                         or exists (select from troupe.job j
                                     where j.id = u.i and (p_queue is null or j.queue = p_queue)
                                       and (p_kind is null or j.kind = p_kind)))
                  order by u.i desc limit p_limit);
  elsif p_state = 'completed' then
    ids := array(select a.job_id from troupe.attempt a
                  where a.job_id < p_before and a.outcome = 1 and not a.reopened
                    and (p_queue is null and p_kind is null
                         or exists (select from troupe.job j
                                     where j.id = a.job_id and (p_queue is null or j.queue = p_queue)
                                       and (p_kind is null or j.kind = p_kind)))
                  order by a.job_id desc limit p_limit);
  elsif p_state in ('cancelled', 'discarded') then
    ids := array(select a.job_id from troupe.attempt a
                  where a.outcome in (2, 3) and not a.reopened -- as their partial index says
                    and a.outcome = case p_state when 'cancelled' then 2 else 3 end
                    and a.job_id < p_before
                    and (p_queue is null and p_kind is null
                         or exists (select from troupe.job j
                                     where j.id = a.job_id and (p_queue is null or j.queue = p_queue)
                                       and (p_kind is null or j.kind = p_kind)))
                  order by a.job_id desc limit p_limit);
  end if;
  low := ids[cardinality(ids)];
  high := ids[1];
  if low is null then
    return;
  elsif high - low >= spread * cardinality(ids) then
    return query select * from troupe.jobs_of(ids);
    return;
  end if;
  return query
  select j.id, j.queue, j.kind, j.priority,
         case when d.job_id is not null
                then case d.reason when 2 then 'retryable' else 'scheduled' end
              when a.outcome in (1, 2, 3) and not a.reopened
                then (array['completed', 'cancelled', 'discarded'])[a.outcome]
              when r.i is not null then 'running'
              else 'available' end,
         j.args, coalesce(a.attempt, 0::smallint), j.max_attempts, j.timeout_ms,
         coalesce(j.tags, '{}'), coalesce(d.due_at, j.run_at, j.created_at), j.created_at, j.limit_key,
         case when r.i is not null then (select n.name from troupe.node n where n.id = r.node) end, r.taken_at
    from troupe.job j
    left join troupe.deferred d on d.job_id = j.id and d.job_id >= low and d.job_id <= high
    left join (
      select distinct on (t.job_id) t.job_id, t.attempt, t.outcome, t.reopened
        from troupe.attempt t where t.job_id >= low and t.job_id <= high
       order by t.job_id desc, t.attempt desc) a on a.job_id = j.id
    left join (
      select u.i, u.n, l.node, l.taken_at from troupe.lease l, unnest(l.jobs, l.attempts) u(i, n)
       where u.i >= low and u.i <= high) r on r.i = j.id and r.n = coalesce(a.attempt, 0) + 1
   where j.id >= low and j.id <= high
     and case when p_state is null -- and then whatever is in the range; else a hash, and not a join of loops
                then (p_queue is null or j.queue = p_queue) and (p_kind is null or j.kind = p_kind)
              else j.id in (select unnest(ids)) end
   order by j.id desc;
end $$;

CREATE FUNCTION troupe.list_log(p_job bigint, p_after bigint, p_limit bigint) RETURNS TABLE(seq bigint, at timestamp with time zone, attempt smallint, level smallint, line text)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  if not exists (select from troupe.job j where j.id = p_job) then
    raise exception 'there is no job %', p_job using errcode = 'TR404';
  end if;
  return query
  select l.seq, l.at, l.attempt, l.level, l.line from troupe.job_log l
   where l.job_id = p_job and l.seq > p_after order by l.seq limit p_limit;
end $$;

CREATE FUNCTION troupe.list_nodes(p_name text, p_state text, p_before bigint, p_limit integer, p_late_ms double precision) RETURNS TABLE(id bigint, name text, state text, version text, started_at timestamp with time zone, heartbeat_at timestamp with time zone, ended_at timestamp with time zone, slots integer, kinds text[], queues text[], queue_slots integer[], running bigint[])
    LANGUAGE plpgsql STABLE
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
declare
  late constant timestamptz := clock_timestamp() - p_late_ms * interval '1 ms';
  ids bigint[];
begin
  if p_name is not null then
    ids := array(select n.id from troupe.node n where n.name = p_name order by n.id desc limit 1);
  elsif p_state in ('left', 'dead') then
    ids := array(select n.id from troupe.node n
                  where n.id < p_before and n.ended_at is not null
                    and (n.heartbeat_at = '-infinity') = (p_state = 'left')
                  order by n.id desc limit p_limit);
  else
    ids := array(select n.id from troupe.node n
                  where n.id < p_before and n.ended_at is null
                    and (p_state is null
                         or p_state = case when n.heartbeat_at = '-infinity' then 'leaving'
                                           when n.heartbeat_at < late then 'silent'
                                           when n.wanted is not null then 'draining' else 'alive' end)
                  order by n.id desc limit p_limit);
  end if;
  if ids = '{}' then
    return;
  end if;
  return query
  with busy as materialized (
    select x.node, x.queue, count(distinct x.i) as jobs
      from (select l.node, u.i, (select j.queue from troupe.job j where j.id = u.i) as queue
              from troupe.live_leases(case when cardinality(ids) = 1 then ids[1] end) l,
                   unnest(l.jobs, l.attempts) u(i, a)
             where l.node = any (ids)
               and not exists (select from troupe.attempt t
                                where t.job_id = u.i and t.attempt = u.a offset 0)) x
     where x.queue is not null group by x.node, x.queue)
  select n.id, n.name,
         case when n.ended_at is not null
                then case when n.heartbeat_at = '-infinity' then 'left' else 'dead' end
              when n.heartbeat_at = '-infinity' then 'leaving'
              when n.heartbeat_at < late then 'silent'
              when n.wanted is not null then 'draining'
              else 'alive' end,
         n.version, n.started_at, nullif(n.heartbeat_at, '-infinity') - n.patience, n.ended_at, n.slots, n.kinds,
         q.queues, q.slots, q.jobs
    from troupe.node n
   cross join lateral (
     select coalesce(array_agg(g.queue order by g.queue), '{}') as queues,
            coalesce(array_agg(coalesce(g.slots, n.slots, -1) order by g.queue), '{}') as slots,
            coalesce(array_agg(g.jobs order by g.queue), '{}') as jobs
       from (select b.queue, max(b.slots) as slots, coalesce(max(b.jobs), 0) as jobs
               from (select s.queue, s.slots, null::bigint as jobs
                       from unnest(n.slot_queues, n.queue_slots) s(queue, slots)
                     union all
                     select y.queue, null, y.jobs from busy y where y.node = n.id) b
              group by b.queue) g) q
   where n.id = any (ids)
   order by n.id desc;
end $$;

CREATE FUNCTION troupe.list_queues(p_only text, p_after text, p_limit integer) RETURNS TABLE(name text, paused_at timestamp with time zone, concurrency integer, version bigint, changed_at timestamp with time zone, waiting bigint, running bigint, rate integer, rate_period_ms integer, rate_burst integer, key_concurrency integer, key_rate integer, key_rate_period_ms integer, key_rate_burst integer, ordered boolean, max_waiting integer)
    LANGUAGE plpgsql STABLE
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  with known as materialized (
    select k.name from (select distinct l.queue as name from troupe.known_lane l
                        union
                        select q.name from troupe.queue q) k
     where case when p_only is null then k.name > p_after else k.name = p_only end
     order by k.name limit p_limit),
  busy as materialized (select * from troupe.running(array(select k.name from known k)))
  select k.name, q.paused_at, q.concurrency, coalesce(q.version, 0), q.changed_at,
         t.jobs - t.scheduled - t.retryable - t.completed - t.cancelled - t.discarded - coalesce(b.jobs, 0),
         coalesce(b.jobs, 0),
         q.rate, q.rate_period_ms, q.rate_burst,
         q.key_concurrency, q.key_rate, q.key_rate_period_ms, q.key_rate_burst,
         coalesce(q.ordered, false), q.max_waiting
    from known k
   cross join lateral troupe.tallied(k.name) t
    left join troupe.queue q on q.name = k.name
    left join busy b on b.queue = k.name
   order by k.name;
end $$;

CREATE FUNCTION troupe.list_tokens(p_after bigint, p_limit integer) RETURNS SETOF troupe.token
    LANGUAGE sql STABLE
    SET enable_seqscan TO 'off'
    AS $$
  select * from troupe.token where id > p_after order by id limit p_limit;
$$;

CREATE TABLE troupe.lease (
    id bigint NOT NULL,
    node bigint NOT NULL,
    taken_at timestamp with time zone DEFAULT now() NOT NULL,
    jobs bigint[] NOT NULL,
    attempts smallint[] NOT NULL,
    started bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    CONSTRAINT lease_check CHECK ((cardinality(attempts) = cardinality(jobs)))
);
ALTER TABLE ONLY troupe.lease ALTER COLUMN jobs SET STORAGE EXTERNAL;
ALTER TABLE ONLY troupe.lease ALTER COLUMN attempts SET STORAGE EXTERNAL;
ALTER TABLE ONLY troupe.lease ALTER COLUMN started SET STORAGE EXTERNAL;

CREATE FUNCTION troupe.live_leases(p_node bigint DEFAULT NULL::bigint) RETURNS SETOF troupe.lease
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  c constant troupe.checkpoint := troupe.newest_checkpoint('leases');
begin
  if c.nth is null then
    return query select l.* from troupe.lease l where p_node is null or l.node = p_node order by l.id;
    return;
  end if;
  return query
    select l.* from unnest(c.leases) u(i)
     cross join lateral (select * from troupe.lease x where x.id = u.i offset 0) l
     where p_node is null or l.node = p_node
    union all
    select l.* from unnest(c.open) o(writer)
     cross join lateral (select * from troupe.lease x where x.xact = o.writer offset 0) l
     where p_node is null or l.node = p_node
    union all
    -- In its order, so that no other index will do.
    select l.* from (select * from troupe.lease x where x.xact >= c.xact order by x.xact offset 0) l
     where p_node is null or l.node = p_node;
end $$;

CREATE FUNCTION troupe.live_runs(p_leases bigint[], p_jobs bigint[], p_attempts smallint[]) RETURNS boolean[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  return (
    select array_agg(coalesce(l.attempts[array_position(l.jobs, u.job)] = u.attempt, false)
                     and exists (select from troupe.job j where j.id = u.job)
                     and not exists (select from troupe.attempt a
                                      where a.job_id = u.job and a.attempt = u.attempt)
                     order by u.nth)
      from unnest(p_leases, p_jobs, p_attempts) with ordinality u(lease, job, attempt, nth)
      left join troupe.lease l on l.id = u.lease);
end $$;

CREATE FUNCTION troupe.log(lease bigint, job bigint, attempt integer, line text, level integer DEFAULT 2) RETURNS boolean
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $_$
begin
  perform from troupe.lease l where l.id = $1 for key share;
  if not (troupe.live_runs(array[$1], array[$2], array[$3::smallint]))[1] then
    return false;
  end if;
  insert into troupe.log_draft (lease, job_id, attempt, level, line) values ($1, $2, $3, $5, $4);
  return true;
end $_$;

CREATE FUNCTION troupe.look_again() RETURNS void
    LANGUAGE sql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
  update troupe.partition set look_at = '-infinity', looked_to = null where what = 'jobs';
$$;

CREATE FUNCTION troupe.look_through(p_from bigint, p_to bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'on'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  held constant bigint[] := array(select distinct u.i from troupe.lease l, unnest(l.jobs) u(i)
                                   where u.i >= p_from and u.i < p_to);
  met bigint;
begin
  with age as materialized (select * from troupe.retention),
  usual as materialized (select * from age where queue = ''),
  last as materialized (
    select j.id, j.queue, j.parent, a.outcome,
           a.finished_at + case when r.queue is not null
             then case a.outcome when 1 then r.completed when 2 then r.cancelled else r.discarded end
             else case a.outcome when 1 then s.completed when 2 then s.cancelled else s.discarded end end
             as ends_at
      from troupe.job j
      left join troupe.attempt a
             on a.job_id = j.id and a.outcome in (1, 2, 3) and not a.reopened
                and a.job_id >= p_from and a.job_id < p_to
      left join age r on r.queue = j.queue
     cross join usual s
     where j.id >= p_from and j.id < p_to),
  kept as (
    insert into troupe.straggler (job_id, alive)
    select e.id, e.outcome is null or e.id = any (held) from last e
     where e.outcome is null or e.id = any (held) or (e.ends_at > now()) is not false
           -- Its key is still in the way of others.
           or exists (select from troupe.unique_job u join troupe.unique_key k on k.digest = u.digest
                       where u.job_id = e.id and k.job_id = e.id
                         and (u.ends_at is null or u.ends_at > now() - interval '1 hour')
                         and (array['completed', 'cancelled', 'discarded'])[e.outcome] = any (u.states)
                      offset 0)
           -- An open crawl would count a page without a job as failed.
           or e.parent is not null
              and exists (select from troupe.crawl c join troupe.job p on p.id = c.job_id
                           where c.job_id = e.parent and not c.closed offset 0)
    returning job_id),
  leaving as (
    insert into troupe.expiring (queue, outcome, jobs)
    select e.queue, e.outcome, count(*) from last e where e.id not in (select k.job_id from kept k)
     group by e.queue, e.outcome)
  select count(*) into met from last;
  return met;
end $$;

CREATE FUNCTION troupe.losses(p_job bigint, p_attempt smallint) RETURNS smallint
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  if p_attempt < 2
     or not exists (select from troupe.attempt t
                     where t.job_id = p_job and t.attempt = p_attempt - 1 and t.outcome = 5) then
    return 0;
  end if;
  return 1 + (select count(*) from troupe.attempt t
               where t.job_id = p_job and t.attempt = p_attempt - 2 and t.outcome = 5);
end $$;

CREATE FUNCTION troupe.make_lanes(p_queue text, p_priority smallint, p_shards integer[]) RETURNS void
    LANGUAGE sql
    AS $$
  with made as (
    insert into troupe.known_lane (id, queue, priority, shard)
    select nextval('troupe.lane_id_seq'), p_queue, p_priority, s from unnest(p_shards) s
    on conflict do nothing
    returning *)
  insert into troupe.lane (id, queue, priority, shard) overriding system value
  select m.id, m.queue, m.priority, m.shard from made m order by m.id;
$$;

CREATE FUNCTION troupe.make_partitions(p_size bigint DEFAULT 5000000, p_ahead integer DEFAULT 2) RETURNS integer
    LANGUAGE plpgsql
    SET lock_timeout TO '300ms'
    AS $$
declare
  kind text;
  newest bigint;
  top bigint;
  name text;
  made int := 0;
begin
  perform pg_advisory_xact_lock(72331733, 1);
  foreach kind in array array['jobs', 'entries'] loop
    if kind = 'jobs' then
      newest := (select case when is_called then last_value else 0 end from troupe.job_id_seq);
    else
      newest := (select case when is_called then last_value else 0 end from troupe.ready_seq_seq);
    end if;
    select coalesce(max(p.high), 1) into top from troupe.partition p where p.what = kind;
    if top <= newest then -- the rest partition holds rows from here on, and those of open writers
      top := newest + 1 + p_size / 8;
    end if;
    while (select count(*) from troupe.partition p
            where p.what = kind and p.high > newest) < p_ahead loop
      foreach name in array case when kind = 'jobs' then array['job', 'attempt', 'progress', 'job_log']
                                 else array['ready'] end
      loop
        execute format('create table troupe.%I (like troupe.%I including defaults including constraints)',
                       name || '_' || top, name);
        execute format('alter table troupe.%I attach partition troupe.%I for values from (%s) to (%s)',
                       name, name || '_' || top, top, top + p_size);
      end loop;
      insert into troupe.partition (what, low, high) values (kind, top, top + p_size);
      top := top + p_size;
      made := made + 1;
    end loop;
  end loop;
  return made;
end $$;

CREATE FUNCTION troupe.measure(p_queues integer, OUT queues text[], OUT ages double precision[], OUT tables text[], OUT dead bigint[], OUT oldest_transaction double precision) RETURNS record
    LANGUAGE plpgsql STABLE
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $_$
#variable_conflict use_column
begin
  with known as materialized (
    select k.name from (select distinct l.queue as name from troupe.known_lane l
                        union
                        select q.name from troupe.queue q) k
     order by k.name limit p_queues),
  waiting as (
    select k.name, min(greatest(j.created_at, j.run_at)) as since
      from known k
      join troupe.lane_now l on l.queue = k.name
     cross join lateral (
       (select f.i
          from (select r.xact, r.seq, r.job_id, r.jobs, r.attempt from troupe.ready r
                 where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq)
                 order by r.xact, r.seq limit 1000) e
         cross join lateral (
           select i from generate_series(
             e.job_id + case when (e.xact, e.seq) = (l.xact, l.seq + 1) then l.part else 0 end,
             e.job_id + e.jobs - 1) i
            where not exists (select from troupe.revoked v where v.job_id = i and v.attempt = e.attempt)
            limit 1) f
         where e.attempt = 1
         order by e.xact, e.seq limit 1)
       union all -- and of writers that the cursor has passed while they were open
       (select f.i
          from unnest(l.open || l.draining) o(writer)
         cross join lateral (
           select r.xact, r.seq, r.job_id, r.jobs, r.attempt from troupe.ready r
            where r.lane = l.id and r.xact = o.writer
              and (o.writer <> all (l.draining) or (r.xact, r.seq) > (l.late_xact, l.late_seq))
            order by r.xact, r.seq limit 1000) e
         cross join lateral (
           select i from generate_series(
             e.job_id + case when (e.xact, e.seq) = (l.late_xact, l.late_seq + 1) then l.late_part else 0 end,
             e.job_id + e.jobs - 1) i
            where not exists (select from troupe.revoked v where v.job_id = i and v.attempt = e.attempt)
            limit 1) f
         where e.attempt = 1
         limit 1)) first
      join troupe.job j on j.id = first.i
     group by k.name)
  select coalesce(array_agg(k.name order by k.name), '{}'),
         coalesce(array_agg(greatest(0, coalesce(extract(epoch from clock_timestamp() - w.since), 0))
                            order by k.name), '{}')
    into queues, ages
    from known k left join waiting w on w.name = k.name;
  -- Tables that are about to become partitions are nobody's yet.
  select coalesce(array_agg(x.name order by x.name), '{}'), coalesce(array_agg(x.dead order by x.name), '{}')
    into tables, dead
    from (select coalesce(pg_partition_root(c.oid), c.oid)::regclass::text as name,
                 sum(pg_stat_get_dead_tuples(c.oid))::bigint as dead
            from pg_class c
           where c.relnamespace = 'troupe'::regnamespace and c.relkind = 'r' and c.relname !~ '_next$'
           group by 1) x;
  tables := array(select regexp_replace(t, '^troupe\.', '') from unnest(tables) with ordinality u(t, o) order by o);
  oldest_transaction := greatest(0,
    (select max(extract(epoch from clock_timestamp() - a.xact_start)) from pg_stat_activity a
      where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'),
    (select max(extract(epoch from clock_timestamp() - x.prepared)) from pg_prepared_xacts x
      where x.database = current_database()));
end $_$;

CREATE FUNCTION troupe.move_jobs(p_jobs bigint[], p_low bigint, p_high bigint, p_available bigint[], p_entries smallint[], p_queue text, p_priority smallint, p_note text) RETURNS bigint[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  jobs bigint[] := p_jobs;
  refused bigint[];
  queues text[];
  priorities smallint[];
begin
  if p_queue is not null then
    with mine as materialized (select * from troupe.keys_in(p_jobs, p_queue)),
    stands as materialized (select s.id, s.state from troupe.standing(p_jobs) s),
    held as materialized (
      select k.digest, k.job_id,
             (select s.state from troupe.standing(array[k.job_id]) s) as state
        from troupe.unique_key k
       where k.job_id <> 0 and k.digest = any (array(select m.digest from mine m))),
    free as materialized (
      select m.*, s.state from mine m join stands s on s.id = m.job_id left join held h on h.digest = m.digest
       where m.digest is not null
         and (h.state is null or h.job_id = m.job_id or h.state <> all (m.states))),
    -- Of several that come to one key, the first.
    first as materialized (
      select f.* from free f
       where not exists (select from free e where e.digest = f.digest and e.job_id < f.job_id
                                              and e.state = any (f.states))),
    taken as (
      update troupe.unique_key k set job_id = f.job_id
        from (select x.digest, max(x.job_id) as job_id from first x group by x.digest) f
       where k.digest = f.digest),
    left_behind as (
      delete from troupe.unique_key k using first f
       where f.old <> f.digest and k.digest = f.old and k.job_id = f.job_id),
    renamed as (
      update troupe.unique_job u set digest = f.digest from first f where u.job_id = f.job_id)
    select coalesce(array_agg(m.job_id), '{}') into refused
      from mine m where not exists (select from first f where f.job_id = m.job_id);
    jobs := array(select i from unnest(p_jobs) i where i <> all (refused) order by i);
  end if;
  select array_agg(j.queue order by g.o), array_agg(j.priority order by g.o) into queues, priorities
    from unnest(jobs) with ordinality g(i, o)
    cross join lateral (select x.queue, x.priority from troupe.job x where x.id = g.i offset 0) j;
  if queues is null then
    return '{}';
  end if;
  update troupe.job j set queue = coalesce(p_queue, j.queue), priority = coalesce(p_priority, j.priority)
   where j.id = any (jobs) and j.id between p_low and p_high;
  perform troupe.open_lanes(array_agg(x.q), array_agg(x.p))
    from (select distinct coalesce(p_queue, q) as q, coalesce(p_priority, p) as p
            from unnest(queues, priorities) u(q, p)) x;
  perform troupe.change_lanes(jobs, queues, priorities, p_available, p_entries, p_note);
  return jobs;
end $$;

CREATE TABLE troupe.checkpoint (
    nth bigint NOT NULL,
    what text NOT NULL,
    xact xid8 NOT NULL,
    open xid8[] NOT NULL,
    leases bigint[],
    due_at timestamp with time zone,
    CONSTRAINT checkpoint_what_check CHECK ((what = ANY (ARRAY['leases'::text, 'deferred'::text])))
);

CREATE FUNCTION troupe.newest_checkpoint(p_what text) RETURNS troupe.checkpoint
    LANGUAGE plpgsql STABLE
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  c troupe.checkpoint;
begin
  select * into c from troupe.checkpoint x where x.what = p_what order by x.nth desc limit 1;
  if c.xact > pg_snapshot_xmax(pg_current_snapshot()) then
    return null;
  end if;
  return c;
end $$;

CREATE FUNCTION troupe.next_due() RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  return (select d.due_at from troupe.deferred d where d.due_at >= (select troupe.due_from())
           order by d.due_at limit 1);
end $$;

CREATE FUNCTION troupe.next_generation(s troupe.key_state) RETURNS troupe.key_state
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.next_runs(p_lane integer, p_writers xid8[], p_xact xid8, p_seq bigint, p_part smallint, p_limit integer, p_rows integer, OUT firsts bigint[], OUT counts integer[], OUT attempts smallint[], OUT xacts xid8[], OUT seqs bigint[], OUT got integer, OUT more boolean, OUT snap pg_snapshot, OUT skip integer, OUT xact xid8, OUT seq bigint, OUT part smallint) RETURNS record
    LANGUAGE plpgsql
    AS $$
begin
  if p_writers is null then
    select array_agg(r.job_id), array_agg(r.jobs::int), array_agg(r.attempt), array_agg(r.xact),
           array_agg(r.seq), coalesce(sum(r.jobs), 0), count(*) = p_rows, pg_current_snapshot()
      into firsts, counts, attempts, xacts, seqs, got, more, snap
      from (select * from troupe.ready x
             where x.lane = p_lane and (x.xact, x.seq) > (p_xact, p_seq)
             order by x.xact, x.seq limit p_rows) r;
  else
    select array_agg(r.job_id), array_agg(r.jobs::int), array_agg(r.attempt), array_agg(r.xact),
           array_agg(r.seq), coalesce(sum(r.jobs), 0), count(*) = p_rows, pg_current_snapshot()
      into firsts, counts, attempts, xacts, seqs, got, more, snap
      from (select e.*
              from unnest(p_writers) o(writer)
              cross join lateral (
                select x.* from troupe.ready x
                 where x.lane = p_lane and x.xact = o.writer and (x.xact, x.seq) > (p_xact, p_seq)
                 order by x.xact, x.seq limit p_rows) e
             order by e.xact, e.seq limit p_rows) r;
  end if;
  if got = 0 then
    return;
  end if;
  skip := case when xacts[1] = p_xact and seqs[1] = p_seq + 1 then p_part else 0 end;
  if skip > 0 then
    firsts[1] := firsts[1] + skip; counts[1] := counts[1] - skip; got := got - skip;
  end if;
  if got > p_limit then
    got := p_limit; more := true;
  end if;
  select * into firsts, counts, attempts, xacts, seqs, xact, seq, part
    from troupe.cut_runs(firsts, counts, attempts, xacts, seqs, skip, got);
end $$;

CREATE FUNCTION troupe.note_change(p_token bigint, p_who text, p_request text, p_action text, p_subject text) RETURNS void
    LANGUAGE sql
    AS $$
  insert into troupe.audit (token, who, action, subject, request)
  select p_token, p_who, p_action, p_subject, coalesce(p_request, '') where p_who <> '';
$$;

CREATE FUNCTION troupe.note_change(p_token bigint, p_who text, p_request text, p_action text, p_subject text, p_changes jsonb) RETURNS void
    LANGUAGE sql
    AS $$
  insert into troupe.audit (token, who, action, subject, request, changes)
  select p_token, p_who, p_action, p_subject, coalesce(p_request, ''), p_changes where p_who <> '';
$$;

CREATE FUNCTION troupe.note_checkpoints() RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  most constant bigint := 200;
  newest constant bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
begin
  if newest - coalesce((troupe.newest_checkpoint('leases')).xact, '0')::text::bigint > most then
    perform troupe.note_leases();
  end if;
  if newest - coalesce((troupe.newest_checkpoint('deferred')).xact, '0')::text::bigint > most then
    perform troupe.note_deferred();
  end if;
end $$;

CREATE FUNCTION troupe.note_claimed(p_node bigint, p_queue text, p_slots integer, p_held integer, p_got integer, p_most integer, p_have integer, OUT permits integer, OUT changed bigint) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  update troupe.queue q
     set rate_at = greatest(q.rate_at, clock_timestamp())
                   + make_interval(secs => p_got * (q.rate_period_ms / 1000.0 / q.rate))
   where q.name = p_queue and q.rate is not null;
  select n.permits, n.changed into permits, changed
    from troupe.note_permits(p_node, p_queue, p_slots, p_held, p_got, p_most, p_have) n;
end $$;

CREATE FUNCTION troupe.note_deferred() RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  own xid8;
  snap pg_snapshot;
  old troupe.checkpoint;
  new troupe.checkpoint;
begin
  if current_setting('transaction_isolation') <> 'read committed' or not pg_try_advisory_xact_lock(72331733, 4) then
    return;
  end if;
  own := pg_current_xact_id();
  select * into old from troupe.checkpoint x where x.what = 'deferred' order by x.nth desc limit 1;
  select coalesce(troupe.next_due(), 'infinity'), pg_current_snapshot() into new.due_at, snap;
  new.what := 'deferred';
  new.xact := pg_snapshot_xmax(snap);
  new.open := troupe.unseen_by(snap, own);
  perform troupe.replace_checkpoint(old.nth, new);
  -- What the new one has seen. Earlier ones have taken with them what lies before the old one.
  delete from troupe.put_off_at p
   where p.xact >= coalesce(old.xact, '0') and p.xact < new.xact and p.xact <> all (new.open);
  delete from troupe.put_off_at p where p.xact = any (old.open) and p.xact <> all (new.open);
end $$;

CREATE FUNCTION troupe.note_key_state(s troupe.key_state) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
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

CREATE FUNCTION troupe.note_keys(p_queue text, p_keys text[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  q troupe.queue;
  gen constant int := (troupe.key_state_of(p_queue)).generation;
  waiting text[] := array(
    select g.k from unnest(p_keys) with ordinality g(k, o)
     where exists (select from troupe.parked p
                    where p.queue = p_queue and p.generation = gen and p.limit_key = g.k)
     group by g.k order by min(g.o));
  used bigint[];
begin
  select * into q from troupe.queue x where x.name = p_queue;
  if q.key_concurrency is not null then
    used := troupe.runs_of_keys(p_queue, waiting);
  end if;
  insert into troupe.key_turn (queue, generation, limit_key, due_at)
  select p_queue, gen, w.k, case when w.due > clock_timestamp() then w.due else '-infinity' end
    from (select u.k, u.o,
                 (select x.rate_at - make_interval(secs => (q.key_rate_burst - 1)
                                                           * (q.key_rate_period_ms / 1000.0 / q.key_rate))
                    from troupe.key_pace x
                   where x.queue = p_queue and x.generation = gen and x.limit_key = u.k) as due
            from unnest(waiting, used) with ordinality u(k, n, o)
           where q.key_concurrency is null or q.key_concurrency > u.n) w
   where w.due is null or w.due <= clock_timestamp()
      or not exists (select from troupe.key_turn t
                      where t.queue = p_queue and t.generation = gen and t.limit_key = w.k
                        and t.due_at > '-infinity')
   order by w.o;
end $$;

CREATE FUNCTION troupe.note_leases() RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  most constant int := 10000;
  own xid8;
  snap pg_snapshot;
  ids bigint[];
  xacts xid8[];
  old bigint;
  new troupe.checkpoint;
begin
  if current_setting('transaction_isolation') <> 'read committed' or not pg_try_advisory_xact_lock(72331733, 3) then
    return;
  end if;
  own := pg_current_xact_id();
  -- Statements of their own, to see what the one before has left; of what is read and the snapshot one.
  old := (select x.nth from troupe.checkpoint x where x.what = 'leases' order by x.nth desc limit 1);
  select array_agg(l.id), array_agg(l.xact), pg_current_snapshot() into ids, xacts, snap
    from troupe.live_leases() l;
  new.what := 'leases';
  new.xact := pg_snapshot_xmax(snap);
  new.open := troupe.unseen_by(snap, own);
  new.leases := array(select u.i from unnest(ids, xacts) u(i, x) where u.x < new.xact and u.x <> all (new.open));
  if cardinality(new.leases) <= most then
    perform troupe.replace_checkpoint(old, new);
  end if;
end $$;

CREATE FUNCTION troupe.note_permits(p_node bigint, p_queue text, p_slots integer, p_held integer, p_got integer, p_most integer, p_have integer, OUT permits integer, OUT changed bigint) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.note_touched() RETURNS trigger
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  insert into troupe.touched (job_id)
  values ((case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end ->> tg_argv[0])::bigint);
  return null;
end $$;

CREATE FUNCTION troupe.number_drafts() RETURNS trigger
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  if not exists (select from troupe.log_draft d where d.xact = new.xact and d.id = new.id) then
    return null;
  end if;
  perform from troupe.lease l
    where l.id = any (array(select distinct d.lease from troupe.log_draft d
                             where d.xact = new.xact and d.id >= new.id))
    order by l.id for no key update;
  with own as (
    delete from troupe.log_draft d where d.xact = new.xact and d.id >= new.id returning d.*)
  insert into troupe.job_log (job_id, at, attempt, level, line)
  select o.job_id, o.at, o.attempt, o.level, o.line from own o
   where exists (select from troupe.job j where j.id = o.job_id)
   order by o.id;
  return null;
end $$;

CREATE FUNCTION troupe.offer_parked(p_queue text, p_limit integer, OUT best smallint, OUT jobs bigint[], OUT attempts smallint[], OUT keys text[], OUT many boolean, OUT dues timestamp with time zone[], OUT turns bigint[], OUT names text[]) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  gen constant int := (troupe.key_state_of(p_queue)).generation;
  window_size constant int := 200 + p_limit;
  noted text[];    -- without those that are there twice
  rooms int[];
  offering text[];
  fruitless text[];
begin
  select array_agg(w.due_at), array_agg(w.turn), array_agg(w.limit_key), count(*) >= window_size
    into dues, turns, names, many
    from ((select * from troupe.key_turn t
            where t.queue = p_queue and t.generation = gen and t.due_at = '-infinity'
            order by t.turn limit window_size)
          union all
          (select * from troupe.key_turn t
            where t.queue = p_queue and t.generation = gen and t.due_at > '-infinity' and t.due_at <= clock_timestamp()
            order by t.due_at limit window_size)) w;
  if names is null then
    return;
  end if;
  if not exists (select from troupe.parked p where p.queue = p_queue and p.generation = gen) then
    delete from troupe.key_turn t using unnest(dues, turns) w(due_at, turn)
     where t.queue = p_queue and t.generation = gen and t.due_at = w.due_at and t.turn = w.turn;
    return;
  end if;
  noted := array(select n from unnest(names, turns) u(n, t) group by n order by min(t));
  rooms := troupe.key_rooms(p_queue, noted, false);
  with heads as materialized (
    select n.o, n.k, n.room, p.job_id, p.attempt, p.priority,
           troupe.still_waits(p.job_id, p.attempt) as alive
      from unnest(noted, rooms) with ordinality n(k, room, o)
      cross join lateral (
        select * from troupe.parked x where x.queue = p_queue and x.generation = gen and x.limit_key = n.k
         order by x.priority, x.job_id limit least(n.room, p_limit) + 50) p
     where n.room > 0),
  dropped as (
    delete from troupe.parked p using heads h
     where not h.alive and p.queue = p_queue and p.generation = gen and p.limit_key = h.k and p.priority = h.priority
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
     where t.queue = p_queue and t.generation = gen and t.due_at = w.due_at and t.turn = w.turn
       and w.name = any (fruitless);
    perform troupe.note_keys(p_queue, fruitless);
  end if;
end $$;

CREATE FUNCTION troupe.open_crawl(p_crawl bigint, p_url text, p_depth integer, p_pages integer, p_selectors text[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  perform troupe.open_lanes(array['scrape.pages'], array[0::smallint]);
  insert into troupe.crawl (job_id, url, max_depth, max_pages, selectors)
  values (p_crawl, p_url, p_depth, p_pages, p_selectors)
  on conflict do nothing;
  if found then
    perform troupe.queue_pages(p_crawl, array[p_url], array[0]);
  end if;
end $$;

CREATE FUNCTION troupe.open_lanes(p_queues text[], p_priorities smallint[]) RETURNS void
    LANGUAGE plpgsql
    AS $_$
declare
  pair record;
begin
  for pair in
    select distinct q, p from unnest(p_queues, p_priorities) g(q, p)
     where not exists (select from troupe.known_lane l where l.queue = q and l.priority = p and l.shard = 3)
     order by q, p
  loop
    if pair.q !~ '^[A-Za-z0-9._:-]{1,128}$' or pair.p not between 0 and 9 then
      raise exception 'there can be no queue "%" with priority %', pair.q, pair.p
        using errcode = 'check_violation';
    end if;
    if pg_try_advisory_xact_lock(hashtextextended('lanes of ' || pair.q, pair.p)) then
      perform troupe.make_lanes(pair.q, pair.p, array[0, 1, 2, 3]);
    elsif not exists (select from troupe.known_lane l where l.queue = pair.q and l.priority = pair.p) then
      perform troupe.make_lanes(pair.q, pair.p, array[4 + floor(random() * 32000)::int]);
    end if;
  end loop;
end $_$;

CREATE FUNCTION troupe.open_requests(p_keys text[], p_prints bytea[], OUT uses smallint[], OUT since timestamp with time zone[]) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  firsts text[];
begin
  with made as (
    insert into troupe.idempotency (key, fingerprint)
    select k, f from unnest(p_keys, p_prints) u(k, f) where k is not null order by k
    on conflict (key) do update set key = excluded.key where false -- locks it
    returning key)
  select coalesce(array_agg(key), '{}') into firsts from made;
  select array_agg(case when u.k is null then 0 when u.k in (select f from unnest(firsts) f) then 1
                        when i.fingerprint = u.f then 2 else 3 end order by u.o),
         array_agg(coalesce(i.created_at, now()) order by u.o)
    into uses, since
    from unnest(p_keys, p_prints) with ordinality u(k, f, o)
    left join troupe.idempotency i on i.key = u.k;
end $$;

CREATE FUNCTION troupe.order_queue(p_queue text, p_ordered boolean) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '2s'
    AS $$
declare
  q troupe.queue;
  head record;
  running bigint[];
begin
  perform troupe.check_queue_name(p_queue);
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

CREATE FUNCTION troupe.pause_queue(p_queue text) RETURNS void
    LANGUAGE plpgsql
    SET lock_timeout TO '2s'
    AS $$
begin
  perform troupe.check_queue_name(p_queue);
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

CREATE FUNCTION troupe.permitted_room(p_node bigint, p_queue text, p_limit integer, p_slots integer, p_held integer, OUT room integer, OUT most integer, OUT have integer) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.progress_of(p_job bigint) RETURNS TABLE(percent double precision, message text, attempt smallint, updated_at timestamp with time zone)
    LANGUAGE plpgsql STABLE ROWS 1
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  return query
  select p.percent, p.message, p.attempt, p.updated_at from troupe.progress p where p.job_id = p_job;
end $$;

CREATE FUNCTION troupe.promote(p_limit integer, OUT moved bigint, OUT queues text[], OUT next_due_ms bigint) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  ids bigint[];
  lanes int[];
  attempts smallint[];
  heads bigint[];
  since timestamptz;
begin
  since := troupe.due_from();
  with due as (
    select d.job_id from troupe.deferred d where d.due_at >= since and d.due_at <= now()
     order by d.due_at limit p_limit for update skip locked),
  gone as (
    delete from troupe.deferred d where d.job_id = any (array(select due.job_id from due))
    returning d.job_id, d.lane, d.attempt, d.due_at)
  select array_agg(g.job_id order by g.due_at, g.job_id), array_agg(g.lane order by g.due_at, g.job_id),
         array_agg(g.attempt order by g.due_at, g.job_id)
    into ids, lanes, attempts
    from gone g;
  moved := 0; queues := '{}';
  if ids is not null then
    queues := array(select distinct l.queue from troupe.known_lane l where l.id = any (lanes));
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
  select ceil(extract(epoch from troupe.next_due() - clock_timestamp()) * 1000)::bigint into next_due_ms;
  if moved >= 100 then
    perform troupe.note_deferred();
  else
    perform troupe.note_checkpoints();
  end if;
end $$;

CREATE FUNCTION troupe.put_back(p_node bigint, p_older interval, p_but bigint[], OUT jobs bigint[], OUT next_ms bigint, OUT steered text[]) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  held record;
begin
  jobs := '{}'; steered := '{}';
  select array_agg(l.id) as leases, array_agg(u.i) as jobs, array_agg(u.a) as attempts,
         array_agg(6::smallint) as outcomes, array_agg(0::bigint) as waits
    into held
    from troupe.live_leases(p_node) l, unnest(l.jobs, l.attempts) u(i, a)
   where l.taken_at < clock_timestamp() - p_older and u.i not in (select b from unnest(p_but) b)
     and not exists (select from troupe.attempt t
                      where t.job_id = u.i and t.attempt = u.a and t.outcome <> 2 offset 0);
  if held.jobs is null then
    return;
  end if;
  select array(select i from unnest(held.jobs, e.fates) u(i, f) where f = 0), e.next_ms, e.steered
    into jobs, next_ms, steered
    from troupe.end_runs(p_node, held.leases, held.jobs, held.attempts, held.outcomes,
                         array_fill(null::jsonb, array[cardinality(held.jobs)]),
                         array_fill(null::text, array[cardinality(held.jobs)]), held.waits) e;
end $$;

CREATE FUNCTION troupe.put_export_chunk(p_job bigint, p_attempt smallint, p_nth integer, p_bytes bytea, p_most bigint, p_most_all bigint) RETURNS text
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS $$
begin
  if troupe.begin_export(p_job, p_attempt) is null then
    return 'late';
  elsif p_nth * 262144::bigint + octet_length(p_bytes) > p_most then
    return 'file';
  elsif p_nth % 16 = 0
        and (select coalesce(sum(r.bytes), 0) from troupe.export_runs() r) + octet_length(p_bytes) > p_most_all then
    return 'sum';
  end if;
  insert into troupe.export_chunk (job_id, attempt, nth, bytes) values (p_job, p_attempt, p_nth, p_bytes);
  return 'kept';
end $$;

CREATE FUNCTION troupe.put_off(p_job bigint, p_due timestamp with time zone, p_queue text, p_priority smallint) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  current constant smallint := (select s.attempt from troupe.standing(array[p_job]) s) + 1;
begin
  if troupe.heads_among(array[p_queue], array[p_job]) <> '{}' then
    if exists (select from troupe.job j where j.id = p_job and j.queue = p_queue) then
      -- It has no entry that could be met, and holds its place.
      insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
      select p_job, p_due, l.lane, current, 1 from troupe.lanes_of(array[p_job]) l;
      perform troupe.wake_for_deferred(array[p_queue], array[p_due], null);
      return;
    end if;
    perform troupe.leave_place(array[p_queue], array[p_job]);
  end if;
  insert into troupe.attempt (job_id, attempt, outcome, reopened, error)
  values (p_job, current, 2, true, 'put off while it waited');
  insert into troupe.revoked (job_id, attempt, queue, priority)
  values (p_job, current, p_queue, p_priority) on conflict do nothing;
  insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
  select p_job, p_due, l.lane, current + 1, 1 from troupe.lanes_of(array[p_job]) l;
  perform troupe.wake_for_deferred(array[p_queue], array[p_due], null);
  perform troupe.drop_parked(array[p_job]);
end $$;

CREATE FUNCTION troupe.queue_lock(p_queue text) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    AS $$
  select hashtextextended('queue ' || p_queue, 5);
$$;

CREATE FUNCTION troupe.queue_pages(p_crawl bigint, p_urls text[], p_depths integer[]) RETURNS bigint
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  made bigint;
begin
  with fresh as materialized (
    select u.url, min(u.depth) as depth, min(u.o) as o
      from unnest(p_urls, p_depths) with ordinality u(url, depth, o), troupe.crawl c
     where c.job_id = p_crawl and not c.closed and u.depth <= c.max_depth
       and not exists (select from troupe.page p where p.crawl = p_crawl and p.url = u.url)
     group by u.url order by min(u.o)
     limit (select greatest(0, max_pages - pages) from troupe.crawl where job_id = p_crawl)),
  given as materialized (
    select url, depth, nextval('troupe.job_id_seq') as id from fresh),
  pages as (
    insert into troupe.page (crawl, url, depth, job_id) select p_crawl, url, depth, id from given),
  jobs as (
    insert into troupe.job (id, parent, queue, kind, args, max_attempts)
    select id, p_crawl, 'scrape.pages', 'scrape.page',
           jsonb_build_object('crawl', p_crawl::text, 'url', url, 'depth', depth), 3
      from given),
  entries as (
    insert into troupe.ready (lane, job_id)
    select troupe.lane_for('scrape.pages', 0::smallint, id / 16), id from given)
  select count(*) into made from given;
  if made > 0 then
    insert into troupe.tally (queue, state, jobs) values ('scrape.pages', 0, made);
    perform troupe.wake(array['scrape.pages']);
    update troupe.crawl set pages = pages + made where job_id = p_crawl;
  end if;
  return made;
end $$;

CREATE FUNCTION troupe.queues_in_turn() RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
begin
  return array(
    select q.name from troupe.queue q
     where (q.key_concurrency is not null or q.key_rate is not null) and q.paused_at is null
       and exists (
         select from (select (troupe.key_state_of(q.name)).generation as now offset 0) g
          where exists (select from troupe.key_turn t
                         where t.queue = q.name and t.generation = g.now and t.due_at <= clock_timestamp() offset 0)
             or exists (select from troupe.parked p where p.queue = q.name and p.generation = g.now offset 0)
                and exists (select from troupe.key_ends(q.name)))
    union all
    select q.name from troupe.queue q
     where q.head_job is not null and q.paused_at is null
       and (troupe.head_state(q.head_job, q.head_lease)).state = 'ready'
       and coalesce(troupe.rate_wait_ms(q.name), 0) = 0);
end  $$;

CREATE FUNCTION troupe.rate_keys(p_queue text, p_rate integer, p_period_ms integer, p_burst integer) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  before boolean;
begin
  perform troupe.check_queue_name(p_queue);
  perform troupe.check_rate(p_rate, p_period_ms, p_burst);
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

CREATE FUNCTION troupe.rate_queue(p_queue text, p_rate integer, p_period_ms integer, p_burst integer) RETURNS void
    LANGUAGE sql
    AS $$
  select troupe.check_queue_name(p_queue);
  select troupe.check_rate(p_rate, p_period_ms, p_burst);
  insert into troupe.queue (name, rate, rate_period_ms, rate_burst)
  values (p_queue, p_rate, p_period_ms, p_burst)
  on conflict (name) do update
     set rate = p_rate, rate_period_ms = p_period_ms, rate_burst = p_burst, rate_at = null,
         changed_at = now(), version = queue.version + 1
   where (queue.rate, queue.rate_period_ms, queue.rate_burst)
         is distinct from (p_rate, p_period_ms, p_burst);
$$;

CREATE FUNCTION troupe.rate_wait_ms(p_queue text) RETURNS bigint
    LANGUAGE sql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
  select greatest(0, ceil(coalesce(extract(epoch from q.rate_at - clock_timestamp()), 0) * 1000
                          - (q.rate_burst - 1) * q.rate_period_ms::numeric / q.rate)::bigint)
    from troupe.queue q where q.name = p_queue and q.rate is not null;
$$;

CREATE FUNCTION troupe.read_export(p_job bigint, p_attempt smallint, p_from bigint, p_limit integer) RETURNS bytea
    LANGUAGE sql STABLE
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
  select substring(c.bytes from (p_from % 262144)::int + 1 for p_limit) from troupe.export_chunk c
   where c.job_id = p_job and c.attempt = p_attempt and c.nth = (p_from / 262144)::int;
$$;

CREATE FUNCTION troupe.read_lane(p_queue text, p_lane integer, p_limit integer, p_looks integer, OUT jobs bigint[], OUT attempts smallint[], OUT keys text[], OUT fresh text[], OUT looked integer, OUT firsts bigint[], OUT counts integer[], OUT tries smallint[], OUT names text[], OUT amounts integer[]) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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
  select * into l from troupe.lane x
    where x.id = p_lane and x.era >= (select y.era from troupe.lane y where y.id = p_lane order by y.era desc limit 1)
      for update skip locked;
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
                                                  p_limit - cardinality(jobs), keys);
      jobs := jobs || part.jobs; attempts := attempts || part.attempts;
      keys := keys || part.keys; fresh := fresh || part.fresh;
      cut := part.cut;
      names := case when firsts = '{}' then part.names end; -- one round has counted them all, or none has
      amounts := part.counts;
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
         taken = taken + looked, served_at = clock_timestamp(), moves = moves + 1,
         era = (moves + 1) / 32
   where x.id = l.id and x.era = l.era and (looked > 0 or x.draining <> l.draining or x.open <> l.open);
end $$;

CREATE FUNCTION troupe.rebase_lanes() RETURNS boolean
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'on'
    SET enable_seqscan TO 'on'
    SET jit TO 'off'
    AS $$
declare
  newest xid8;
begin
  delete from troupe.checkpoint c where c.xact > pg_snapshot_xmax(pg_current_snapshot());
  update troupe.key_state s set ends_from = '0', ends_open = '{}'
   where s.ends_from > pg_snapshot_xmax(pg_current_snapshot());
  select x into newest from (
    select xact as x from troupe.lane
    union all
    select (select r.xact from troupe.ready r where r.lane = l.id order by r.xact desc limit 1)
      from troupe.lane l
    union all
    select xact from troupe.tally_base
    union all
    select xact from troupe.tally) u
   where x is distinct from pg_current_xact_id_if_assigned() -- whose caller may have enqueued something
     and x is not null order by x desc limit 1; -- max(xid8) came with PostgreSQL 15
  -- In a later snapshot than the one above, or what has committed in between would look ahead of it.
  if newest is null or newest < pg_snapshot_xmax(pg_current_snapshot()) then
    return false;
  end if;
  lock table troupe.lane in access exclusive mode;
  lock table troupe.ready in access exclusive mode;
  lock table troupe.tally in access exclusive mode;
  with old as (delete from troupe.ready returning *),
  entry as (
    select distinct on (g.job_id, o.attempt) o.lane, o.seq, g.job_id, o.attempt -- a snoozed run has several
      from old o cross join generate_series(o.job_id, o.job_id + o.jobs - 1) g(job_id)
     order by g.job_id, o.attempt, o.seq desc)
  insert into troupe.ready (lane, job_id, attempt, xact)
  select e.lane, e.job_id, e.attempt, '1'
    from entry e
   where exists (select from troupe.job j where j.id = e.job_id)
     and not exists (select from troupe.attempt t where t.job_id = e.job_id and t.attempt = e.attempt)
     and not exists (select from troupe.parked p where p.job_id = e.job_id and p.attempt = e.attempt)
     and not exists (select from troupe.deferred d where d.job_id = e.job_id and d.attempt = e.attempt)
     and (e.job_id, e.attempt) not in (select u.i, u.a from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a))
   order by e.seq, e.job_id;
  update troupe.revoked set xact = '1';
  update troupe.lane set xact = '0', seq = 0, part = 0, open = '{}', draining = '{}',
                         late_xact = '0', late_seq = 0, late_part = 0;
  update troupe.tally set xact = '1'; -- what was folded is gone, so all of these count
  update troupe.tally_base set xact = '0', open = '{}';
  return true;
end $$;

CREATE FUNCTION troupe.recent_queues(p_limit integer) RETURNS text[]
    LANGUAGE sql STABLE
    SET enable_bitmapscan TO 'off'
    AS $$
  select coalesce(array_agg(x.queue), '{}') from (
    select l.queue from troupe.lane_now l group by l.queue order by max(l.served_at) desc, l.queue
     limit p_limit) x;
$$;

CREATE FUNCTION troupe.reconcile_crawl(p_crawl bigint) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  perform from troupe.crawl where job_id = p_crawl for update;
  if not found then
    raise exception 'there is no crawl %', p_crawl using errcode = 'TR404';
  end if;
  with silent as (
    insert into troupe.item (crawl, page, url, status, title, headings, links, bytes, error)
    select p.crawl, p.job_id, p.url, 0, '', 0, 0, 0,
           coalesce(a.error, (array['completed', 'cancelled', 'discarded'])[a.outcome], 'deleted')
      from troupe.page p
      left join troupe.attempt a on a.job_id = p.job_id and a.outcome in (1, 2, 3) and not a.reopened
     where p.crawl = p_crawl
       and (a.job_id is not null or not exists (select from troupe.job j where j.id = p.job_id))
       and not exists (select from troupe.item i where i.crawl = p.crawl and i.page = p.job_id)
    on conflict do nothing
    returning page)
  update troupe.crawl set failed = failed + (select count(*) from silent) where job_id = p_crawl;
end $$;

CREATE FUNCTION troupe.record_pages(p_crawls bigint[], p_pages bigint[], p_urls text[], p_statuses integer[], p_titles text[], p_headings integer[], p_links integer[], p_bytes bigint[], p_fields jsonb[], p_errors text[], p_link_crawls bigint[], p_link_urls text[], p_link_depths integer[]) RETURNS bigint
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  one bigint;
  queued bigint := 0;
begin
  -- In id order, so that two recorders cannot wait for each other.
  perform from troupe.crawl c where c.job_id = any (p_crawls) order by c.job_id for update;
  with stored as (
    insert into troupe.item (crawl, page, url, status, title, headings, links, bytes, fields, error)
    select * from unnest(p_crawls, p_pages, p_urls, p_statuses, p_titles, p_headings, p_links,
                         p_bytes, p_fields, p_errors)
    on conflict do nothing
    returning crawl, bytes, error),
  sums as (
    select crawl, count(*) filter (where error is null) as fetched,
           count(*) filter (where error is not null) as failed, sum(bytes) as bytes
      from stored group by crawl)
  update troupe.crawl c
     set fetched = c.fetched + s.fetched, failed = c.failed + s.failed, bytes = c.bytes + s.bytes
    from sums s where c.job_id = s.crawl;
  for one in select distinct x from unnest(p_link_crawls) x order by x loop
    queued := queued + troupe.queue_pages(one,
      array(select u.url from unnest(p_link_crawls, p_link_urls) with ordinality u(c, url, o)
             where u.c = one order by u.o),
      array(select u.d from unnest(p_link_crawls, p_link_depths) with ordinality u(c, d, o)
             where u.c = one order by u.o));
  end loop;
  return queued;
end $$;

CREATE FUNCTION troupe.record_reports(p_leases bigint[], p_jobs bigint[], p_attempts smallint[], p_percents double precision[], p_messages text[], l_leases bigint[], l_jobs bigint[], l_attempts smallint[], l_levels smallint[], l_agos_ms bigint[], l_lines text[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  p_live boolean[];
  l_live boolean[];
begin
  if cardinality(p_jobs) > 0 then
    perform from troupe.lease l where l.id = any (p_leases) order by l.id for key share;
    p_live := troupe.live_runs(p_leases, p_jobs, p_attempts);
    insert into troupe.progress (job_id, attempt, percent, message)
    select distinct on (u.job) u.job, u.attempt, u.percent, coalesce(u.message, '')
      from unnest(p_jobs, p_attempts, p_percents, p_messages, p_live) with ordinality
             u(job, attempt, percent, message, live, nth)
     where u.live
     order by u.job, u.nth desc
    on conflict (job_id) do update
       set updated_at = excluded.updated_at, percent = excluded.percent, attempt = excluded.attempt,
           message = excluded.message;
  end if;
  if cardinality(l_jobs) > 0 then
    perform from troupe.lease l where l.id = any (l_leases) order by l.id for no key update;
    l_live := troupe.live_runs(l_leases, l_jobs, l_attempts);
    insert into troupe.job_log (job_id, at, attempt, level, line)
    select u.job, clock_timestamp() - u.ago_ms * interval '1 ms', u.attempt, u.level, u.line
      from unnest(l_jobs, l_attempts, l_levels, l_agos_ms, l_lines, l_live) with ordinality
             u(job, attempt, level, ago_ms, line, live, nth)
     where u.live
     order by u.nth;
  end if;
  return (select coalesce(array_agg(distinct u.job), '{}')
            from unnest(p_jobs || l_jobs, p_live || l_live) u(job, live) where not u.live);
end $$;

CREATE FUNCTION troupe.recount() RETURNS bigint
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'on'
    SET enable_seqscan TO 'on'
    SET jit TO 'off'
    AS $$
declare
  wrong bigint;
begin
  with real as (
    select j.queue, 0 as state, count(*) as jobs from troupe.job j group by j.queue
    union all
    select j.queue, a.outcome, count(*) from troupe.attempt a join troupe.job j on j.id = a.job_id
     where a.outcome in (1, 2, 3) and not a.reopened
       and not exists (select from troupe.deferred d where d.job_id = a.job_id)
     group by j.queue, a.outcome
    union all
    select j.queue, case d.reason when 2 then 4 else 5 end, count(*)
      from troupe.deferred d join troupe.job j on j.id = d.job_id group by 1, 2),
  told as (
    select t.queue, t.state, t.jobs from troupe.tally t
    union all
    select b.queue, s.state, s.jobs from troupe.tally_base b cross join lateral (values
      (0, b.jobs), (1, b.completed), (2, b.cancelled), (3, b.discarded), (4, b.retryable),
      (5, b.scheduled)) s(state, jobs)),
  made as (
    insert into troupe.tally (queue, state, jobs)
    select x.queue, x.state, sum(x.jobs)
      from (select r.queue, r.state, r.jobs from real r
            union all
            select t.queue, t.state, -t.jobs from told t) x
     group by x.queue, x.state having sum(x.jobs) <> 0
    returning state)
  select count(*) into wrong from made;
  return wrong;
end $$;

CREATE FUNCTION troupe.refuse_if_ordered(p_queue text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  if exists (select from troupe.queue q where q.name = p_queue and q.ordered) then
    raise exception 'queue "%" is ordered: one job runs after the other, and only a rate limits it', p_queue
      using errcode = 'TR409';
  end if;
end $$;

CREATE FUNCTION troupe.remake_function(p_name text, p_edits text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  which constant oid := case when p_name like '%(%' then ('troupe.' || p_name)::regprocedure::oid
                             else ('troupe.' || p_name)::regproc::oid end;
  made text := pg_get_functiondef(which);
begin
  for i in 1..cardinality(p_edits) by 2 loop
    if length(replace(made, p_edits[i], '')) <> length(made) - length(p_edits[i]) then
      raise exception 'troupe.% does not have this once: %', p_name, p_edits[i];
    end if;
    made := replace(made, p_edits[i], p_edits[i + 1]);
  end loop;
  execute 'drop function ' || which::regprocedure;
  execute made;
end $$;

CREATE FUNCTION troupe.replace_checkpoint(p_old bigint, p_new troupe.checkpoint) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  insert into troupe.checkpoint (what, xact, open, leases, due_at)
  values (p_new.what, p_new.xact, p_new.open, p_new.leases, p_new.due_at);
  delete from troupe.checkpoint x where x.what = p_new.what and x.nth = p_old;
end $$;

CREATE FUNCTION troupe.replace_job(p_job bigint, p_args jsonb, p_priority smallint, p_max_attempts smallint, p_timeout_ms bigint, p_tags text[], p_due timestamp with time zone, p_limit_key text, p_retry jsonb, p_traceparent text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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
         retry = p_retry, meta = troupe.traced(p_traceparent)
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

CREATE FUNCTION troupe.report_by_worker(p_node bigint, p_session bytea, p_token bigint, p_leases bigint[], p_jobs bigint[], p_attempts smallint[], p_percents double precision[], p_messages text[], l_leases bigint[], l_jobs bigint[], l_attempts smallint[], l_levels smallint[], l_agos_ms bigint[], l_lines text[], OUT fenced bigint[], OUT dropped bigint) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  own bigint[];
  kept record;
begin
  perform troupe.check_worker(p_node, p_session, p_token);
  own := array(select l.id from troupe.lease l where l.id = any (p_leases || l_leases) and l.node = p_node);
  select coalesce(array_agg(x.l), '{}') as leases, coalesce(array_agg(x.i), '{}') as jobs,
         coalesce(array_agg(x.a), '{}') as attempts, coalesce(array_agg(x.level), '{}') as levels,
         coalesce(array_agg(x.ago), '{}') as agos, coalesce(array_agg(x.line), '{}') as lines
    into kept
    from (select u.*, row_number() over one as place, sum(octet_length(u.line)) over one as bytes
            from unnest(l_leases, l_jobs, l_attempts, l_levels, l_agos_ms, l_lines) with ordinality
                   u(l, i, a, level, ago, line, nth)
          window one as (partition by u.i, u.a order by u.nth)) x
    join (select d.i, d.a, s.lines, s.bytes
            from (select distinct i, a from unnest(l_jobs, l_attempts) u(i, a)) d
           cross join lateral (
             select count(*) as lines, coalesce(sum(octet_length(g.line)), 0) as bytes
               from troupe.job_log g where g.job_id = d.i and g.attempt = d.a) s) before
      on before.i = x.i and before.a = x.a
   where before.lines + x.place <= 10000 and before.bytes + x.bytes <= 1048576;
  dropped := cardinality(l_jobs) - cardinality(kept.jobs);
  fenced := troupe.record_reports(
    array(select case when l = any (own) then l else 0 end from unnest(p_leases) with ordinality u(l, n) order by n),
    p_jobs, p_attempts, p_percents, p_messages,
    array(select case when l = any (own) then l else 0 end from unnest(kept.leases) with ordinality u(l, n)
           order by n),
    kept.jobs, kept.attempts, kept.levels, kept.agos, kept.lines);
end $$;

CREATE FUNCTION troupe.report_progress(lease bigint, job bigint, attempt integer, percent double precision DEFAULT NULL::double precision, message text DEFAULT ''::text) RETURNS boolean
    LANGUAGE sql
    AS $_$
  select troupe.record_reports(array[$1], array[$2], array[$3::smallint], array[$4], array[$5],
                               '{}', '{}', '{}', '{}', '{}', '{}') = '{}';
$_$;

CREATE FUNCTION troupe.rescue(p_node bigint, p_limit interval, OUT lost bigint, OUT quarantined bigint, OUT queues text[], OUT leases bigint) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  tells boolean;
  ids bigint[];
  nths smallint[];
  heads bigint[];
begin
  lost := 0; quarantined := 0; queues := '{}'; leases := 0;
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
  counted as (
    insert into troupe.tally (queue, state, jobs)
    select j.queue, 3, count(*) from ended e join troupe.job j on j.id = e.job_id
     where e.outcome = 3 group by j.queue),
  again as (
    select e.job_id, e.attempt + 1 as attempt from ended e where e.outcome = 5
    union all
    select h.i, h.a from held h
     where h.losses > 0 and not h.started and tells
       and not exists (select from troupe.attempt t where t.job_id = h.i and t.attempt = h.a))
  select (select count(*) from ended), (select count(*) from ended where outcome = 3),
         (select array_agg(n.job_id) from again n), (select array_agg(n.attempt) from again n),
         (select count(*) from gone)
    into lost, quarantined, ids, nths, leases;
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

CREATE FUNCTION troupe.resume_queue(p_queue text) RETURNS void
    LANGUAGE sql
    AS $$
  update troupe.queue set paused_at = null, changed_at = now(), version = version + 1
   where name = p_queue and paused_at is not null;
$$;

CREATE FUNCTION troupe.retain(completed interval, cancelled interval, discarded interval, queue text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $_$
#variable_conflict use_variable
begin
  if queue is not null and queue !~ '^[A-Za-z0-9._:-]{1,128}$' then
    raise exception 'queue must be 1 to 128 of A-Z a-z 0-9 . _ : -' using errcode = 'TR400';
  elsif exists (select from unnest(array[completed, cancelled, discarded]) age
                 where age not between '0' and '3650 days') then
    raise exception 'ages must be 0 to 3650 days, or null for ever' using errcode = 'TR400';
  end if;
  perform from troupe.retention r where r.queue = '' for update;
  insert into troupe.retention as r (completed, cancelled, discarded, queue)
  values (completed, cancelled, discarded, coalesce(queue, ''))
  on conflict on constraint retention_pkey do update
     set completed = excluded.completed, cancelled = excluded.cancelled, discarded = excluded.discarded;
  perform troupe.look_again();
end $_$;

CREATE FUNCTION troupe.retain_as_others(queue text) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  perform from troupe.retention r where r.queue = '' for update;
  delete from troupe.retention r where r.queue = retain_as_others.queue and r.queue <> '';
  perform troupe.look_again();
end $$;

CREATE FUNCTION troupe.retention_now(p_most integer, OUT queues text[], OUT completed bigint[], OUT cancelled bigint[], OUT discarded bigint[], OUT more_queues boolean, OUT oldest_job timestamp with time zone, OUT partitions integer, OUT looked_low bigint, OUT looked_high bigint, OUT looked_to bigint, OUT next_look timestamp with time zone, OUT expired_at timestamp with time zone, OUT expired_low bigint, OUT expired_high bigint, OUT expired_jobs bigint, OUT expired_kept bigint, OUT things text[], OUT things_ms bigint[], OUT things_known boolean[], OUT things_oldest timestamp with time zone[]) RETURNS record
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  select coalesce(array_agg(r.queue), '{}'), coalesce(array_agg(r.c), '{}'), coalesce(array_agg(r.a), '{}'),
         coalesce(array_agg(r.d), '{}')
    into queues, completed, cancelled, discarded
    from (select x.queue, coalesce(extract(epoch from x.completed) * 1000, -1)::bigint as c,
                 coalesce(extract(epoch from x.cancelled) * 1000, -1)::bigint as a,
                 coalesce(extract(epoch from x.discarded) * 1000, -1)::bigint as d
            from troupe.retention x order by x.queue limit p_most + 1) r;
  more_queues := cardinality(queues) > p_most;
  queues := queues[:p_most];
  oldest_job := (select j.created_at from troupe.job j order by j.id limit 1);
  select count(*), min(p.look_at) filter (where p.look_at > '-infinity' and p.looked_to is null)
    into partitions, next_look
    from troupe.partition p where p.what = 'jobs';
  select p.low, p.high - 1, p.looked_to - 1 into looked_low, looked_high, looked_to
    from troupe.partition p where p.what = 'jobs' and p.looked_to is not null;
  select e.at, e.low, e.high - 1, e.dropped, e.kept
    into expired_at, expired_low, expired_high, expired_jobs, expired_kept
    from troupe.expiry e order by e.id desc limit 1;
  select array_agg(t.what), array_agg((extract(epoch from troupe.kept_for(t.what)) * 1000)::bigint),
         array_agg(t.oldest is not null), array_agg(coalesce(t.oldest, '1970-01-01'))
    into things, things_ms, things_known, things_oldest
    from (values ('audit', (select a.at from troupe.audit a order by a.id limit 1)),
                 ('bulk_operations', (select b.created_at from troupe.bulk_operation b order by b.id limit 1)),
                 ('idempotency_keys', (select i.created_at from troupe.idempotency i order by i.created_at limit 1)),
                 ('tokens', (select t.created_at from troupe.token t order by t.id limit 1))) t(what, oldest);
end $$;

CREATE FUNCTION troupe.retry(p_job bigint) RETURNS text
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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
  if j.run_at > clock_timestamp() then
    update troupe.job x set run_at = clock_timestamp() where x.id = p_job;
  end if;
  -- One that had ended goes to the end of the line. A node may still have what is left of it.
  update troupe.queue q set head_job = null, head_lease = null, others = q.others || q.head_lease
   where q.name = j.queue and q.head_job = p_job;
  insert into troupe.ready (lane, job_id, attempt)
  values (troupe.lane_for(j.queue, j.priority, p_job), p_job, next_attempt);
  perform troupe.wake(array[j.queue]);
  return j.queue;
end   $$;

CREATE FUNCTION troupe.retry_jobs(p_jobs bigint[], p_low bigint, p_high bigint) RETURNS bigint[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  live constant text[] := '{scheduled,available,running,retryable}';
  final bigint[];
  refused bigint[];
  jobs bigint[];
  attempts smallint[];
  ended bigint[];
  heads bigint[];
  queues text[];
begin
  final := array(select i from unnest(p_jobs) i
                  where not exists (select from troupe.deferred d where d.job_id = i offset 0));
  -- Of several that have one key the first takes it.
  with mine as materialized (
    select u.job_id, u.digest, coalesce(u.states, '{}') || live as states, k.job_id as holder
      from unnest(final) g(i)
      cross join lateral (
        select x.* from troupe.unique_job x
         where x.job_id = g.i and (x.ends_at is null or x.ends_at > clock_timestamp()) offset 0) u
      cross join lateral (select x.job_id from troupe.unique_key x where x.digest = u.digest offset 0) k),
  held as materialized (
    select s.id, s.state from troupe.standing(array(select distinct m.holder from mine m)) s),
  free as (
    select distinct on (m.digest) m.job_id, m.digest
      from mine m left join held h on h.id = m.holder
     where m.holder = m.job_id or h.id is null or h.state <> all (m.states)
     order by m.digest, m.job_id),
  taken as (
    update troupe.unique_key k set job_id = f.job_id from free f where k.digest = f.digest)
  select coalesce(array_agg(m.job_id), '{}') into refused
    from mine m where not exists (select from free f where f.job_id = m.job_id);
  with gone as (
    delete from troupe.deferred d where d.job_id = any (p_jobs) returning d.job_id, d.attempt),
  opened as (
    update troupe.attempt a set reopened = true
     where a.job_id = any (final) and a.job_id between p_low and p_high
       and a.job_id <> all (refused) and a.outcome in (1, 2, 3) and not a.reopened
    returning a.job_id, a.attempt)
  select array_agg(x.job_id order by x.job_id), array_agg(x.attempt order by x.job_id),
         coalesce(array_agg(x.job_id) filter (where x.was_over), '{}')
    into jobs, attempts, ended
    from (select g.job_id, g.attempt, false as was_over from gone g
          union all
          select o.job_id, (o.attempt + 1)::smallint, true from opened o) x;
  update troupe.job j set run_at = clock_timestamp() where j.id = any (jobs) and j.run_at > clock_timestamp();
  queues := array(select distinct j.queue from troupe.job j where j.id = any (jobs));
  heads := troupe.heads_among(queues, jobs);
  if heads && ended then -- one that had ended goes to the end of the line
    perform troupe.leave_place(queues, ended);
  end if;
  insert into troupe.ready (lane, job_id, attempt)
  select l.lane, x.i, x.a from unnest(jobs, attempts) x(i, a) join troupe.lanes_of(jobs) l on l.job_id = x.i
   where x.i <> all (heads) or x.i = any (ended)
   order by x.i;
  perform troupe.wake(queues);
  return coalesce(jobs, '{}');
end $$;

CREATE FUNCTION troupe.retry_numbers(p_retry jsonb) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE
    AS $$
  select case p_retry ->> 'policy'
    when 'exponential' then array[1, coalesce((p_retry ->> 'base_ms')::numeric, 1000),
                                  coalesce((p_retry ->> 'max_ms')::numeric, 21600000),
                                  coalesce((p_retry ->> 'jitter_percent')::numeric, 25)]::bigint[]
    when 'fixed' then array[2, (p_retry ->> 'delay_ms')::numeric]::bigint[]
    when 'list' then array(select 2 union all
                           select d::numeric::bigint from jsonb_array_elements_text(p_retry -> 'delays_ms') d)
    when 'none' then array[2::bigint] end;
$$;

CREATE FUNCTION troupe.retry_pause(p_retry jsonb, p_attempt integer, p_random bigint) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE
    AS $$
declare
  n constant bigint[] := troupe.retry_numbers(p_retry);
  pauses constant int := cardinality(n) - 1;
  pause bigint;
begin
  if n[1] = 2 then
    return case when pauses > 0 then n[1 + least(greatest(p_attempt, 1), pauses)] end;
  end if;
  pause := least(n[3], n[2]::numeric * 2 ^ least(greatest(p_attempt - 1, 0), 40));
  return pause - pause * n[4] / 100 + p_random % (pause * n[4] / 50 + 1);
end $$;

CREATE FUNCTION troupe.revoke_token(p_id bigint) RETURNS SETOF troupe.token
    LANGUAGE plpgsql
    AS $$
begin
  return query update troupe.token t set revoked_at = coalesce(t.revoked_at, clock_timestamp()) where t.id = p_id
    returning t.*;
  if not found then
    raise exception 'there is no token %', p_id using errcode = 'TR404';
  end if;
  if pg_notification_queue_usage() < 0.5 then
    perform pg_notify('troupe', 'token ' || p_id);
  end if;
end $$;

CREATE FUNCTION troupe.room_for(p_node bigint, p_queue text, p_limit integer, p_slots integer, p_held integer, OUT room integer, OUT most integer, OUT have integer) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.rooms(p_queues text[], p_wanted integer, OUT names text[], OUT free bigint[], OUT most integer[]) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  names := array(select q.name from troupe.queue q where q.max_waiting is not null and q.name = any (p_queues));
  -- Not the queue's row: claims may want that.
  perform pg_advisory_xact_lock(hashtextextended('room in ' || n, 6))
    from (select n from unnest(names) n order by n) x;
  -- A statement of its own, to see what others have left.
  select coalesce(array_agg(q.name), '{}'), array_agg(q.max_waiting - case
           when q.max_waiting - b.jobs >= p_wanted then b.jobs
           else b.jobs - coalesce((select r.jobs from troupe.running(array[q.name]) r), 0) end),
         array_agg(q.max_waiting)
    into names, free, most
    from troupe.queue q cross join lateral (
      select t.jobs - t.scheduled - t.retryable - t.completed - t.cancelled - t.discarded as jobs
        from troupe.tallied(q.name) t) b
   where q.max_waiting is not null and q.name = any (names);
end $$;

CREATE FUNCTION troupe.rooms_left(p_keys text[], p_rooms integer[], p_taken text[]) RETURNS integer[]
    LANGUAGE sql IMMUTABLE
    AS $$
  select array_agg(case when x.room > 0 then greatest(0, x.room - x.taken) else x.room end order by x.o)
    from (select max(u.room) as room, max(u.o) as o, (count(*) filter (where u.o is null))::int as taken
            from (select k, room, o from unnest(p_keys, p_rooms) with ordinality r(k, room, o)
                  union all
                  select k, null, null from unnest(p_taken) k) u
           group by u.k) x
   where x.o is not null;
$$;

CREATE FUNCTION troupe.running(p_queues text[]) RETURNS TABLE(queue text, jobs bigint)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  return query
  select x.queue, count(distinct x.i)
    -- The queue of each by itself: a join might begin with all jobs of these queues.
    from (select u.i, (select j.queue from troupe.job j where j.id = u.i) as queue
            from troupe.live_leases() l, unnest(l.jobs, l.attempts) u(i, a)
           where not exists (select from troupe.attempt t
                              where t.job_id = u.i and t.attempt = u.a offset 0)) x
   where x.queue = any (p_queues) group by x.queue;
end $$;

CREATE FUNCTION troupe.runs_before(p_node bigint, p_queue text, p_lease bigint, p_job bigint) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.runs_of_keys(p_queue text, p_keys text[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.seal_jobs(p_low bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET lock_timeout TO '50ms'
    AS $$
begin
  execute format('create trigger note_late after insert or delete on troupe.%I
                    for each row execute function troupe.note_touched(''id'')', 'job_' || p_low);
  update troupe.partition set sealed = true where what = 'jobs' and low = p_low;
  return true;
exception when lock_not_available then
  return false;
end $$;

CREATE TABLE troupe.job (
    id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    run_at timestamp with time zone,
    parent bigint,
    timeout_ms bigint,
    priority smallint DEFAULT 0 NOT NULL,
    max_attempts smallint DEFAULT 20 NOT NULL,
    queue text NOT NULL,
    kind text NOT NULL,
    args jsonb DEFAULT '{}'::jsonb NOT NULL,
    tags text[],
    meta jsonb,
    limit_key text COLLATE pg_catalog."C",
    retry jsonb,
    CONSTRAINT job_args_check CHECK ((pg_column_size(args) <= 8388608)),
    CONSTRAINT job_kind_check CHECK (((octet_length(kind) >= 1) AND (octet_length(kind) <= 128))),
    CONSTRAINT job_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 1000))),
    CONSTRAINT job_priority_check CHECK (((priority >= 0) AND (priority <= 9))),
    CONSTRAINT job_tags_check CHECK ((cardinality(tags) <= 32)),
    CONSTRAINT job_timeout_ms_check CHECK (((timeout_ms >= 1) AND (timeout_ms <= 604800000)))
)
PARTITION BY RANGE (id);

CREATE FUNCTION troupe.settings_of(j troupe.job) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
  select jsonb_build_object('queue', j.queue, 'priority', j.priority, 'max_attempts', j.max_attempts,
                            'timeout_ms', j.timeout_ms, 'tags', coalesce(to_jsonb(j.tags), '[]'),
                            'run_at', troupe.told_time(j.run_at));
$$;

CREATE FUNCTION troupe.settle_batches(p_queue text, p_from bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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

CREATE FUNCTION troupe.sleep_lock(p_queue text) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    AS $$
  select hashtextextended('sleepers of ' || p_queue, 5);
$$;

CREATE FUNCTION troupe.sleep_on(p_queues text[], p_again text[], p_awake text[]) RETURNS TABLE(queue text, state smallint)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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
      select from troupe.lane_now l
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

CREATE FUNCTION troupe.sort_entries(p_queue text, p_priority smallint, p_firsts bigint[], p_counts integer[], p_jobs bigint[], p_attempts smallint[], p_room integer, p_taken text[], OUT cut integer, OUT jobs bigint[], OUT attempts smallint[], OUT keys text[], OUT fresh text[], OUT names text[], OUT counts integer[]) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  found bigint[];
  rooms int[];
begin
  select array_agg(j.id), array_agg(j.limit_key) into found, keys
    from unnest(p_firsts, p_counts) u(f, c) join troupe.job j on j.id between u.f and u.f + u.c - 1;
  if found is distinct from p_jobs then -- some are gone, or they came in another order
    keys := array(select j.limit_key from unnest(p_jobs) with ordinality u(i, o)
                    left join troupe.job j on j.id = u.i order by u.o);
  end if;
  fresh := '{}';
  select c.names, c.counts into names, counts from troupe.counts_of_keys(keys) c;
  rooms := troupe.key_rooms(p_queue, names, true);
  if exists (select from unnest(counts, rooms) u(n, r) where u.n > u.r)
     and exists (select from troupe.key_ends(p_queue)) then
    perform troupe.fold_keys(p_queue, true);
    rooms := troupe.key_rooms(p_queue, names, true);
  end if;
  if p_taken <> '{}' then
    rooms := troupe.rooms_left(names, rooms, p_taken);
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
    insert into troupe.parked (queue, generation, limit_key, priority, job_id, attempt)
    select p_queue, (troupe.key_state_of(p_queue)).generation, p.k, p_priority, p.i, p.a from passed p where not p.fits and not p.gone
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
  names := null; counts := null; -- they were of all that was read
end $$;

CREATE FUNCTION troupe.standing(p_jobs bigint[]) RETURNS TABLE(id bigint, queue text, kind text, priority smallint, tags text[], limit_key text, created_at timestamp with time zone, attempt smallint, state text, node bigint, taken_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  with leased as materialized (select * from troupe.leased_of(p_jobs)),
  met as materialized (
    select j.*, d.reason, coalesce(a.attempt, 0::smallint) as last, a.outcome, a.reopened
      from unnest(p_jobs) g(i)
      cross join lateral (
        select x.id, x.queue, x.kind, x.priority, x.tags, x.limit_key, x.created_at from troupe.job x
         where x.id = g.i offset 0) j
      left join lateral (select x.reason from troupe.deferred x where x.job_id = g.i offset 0) d on true
      left join lateral (
        select x.attempt, x.outcome, x.reopened from troupe.attempt x
         where x.job_id = g.i order by x.attempt desc limit 1) a on true)
  select m.id, m.queue, m.kind, m.priority, m.tags, m.limit_key, m.created_at, m.last,
         case when m.reason is not null then case m.reason when 2 then 'retryable' else 'scheduled' end
              when m.outcome in (1, 2, 3) and not m.reopened
                then (array['completed', 'cancelled', 'discarded'])[m.outcome]
              when r.job_id is not null then 'running'
              else 'available' end,
         r.node, r.taken_at
    from met m left join leased r on r.job_id = m.id and r.attempt = m.last + 1
   order by m.id;
end $$;

CREATE FUNCTION troupe.start_export(p_args jsonb, p_key text, p_most integer, p_most_bytes bigint, OUT job_id bigint, OUT use smallint) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS $$
#variable_conflict use_column
declare
  print constant bytea := sha256(convert_to('export ' || p_args::text, 'UTF8'));
begin
  select r.uses[1] into use from troupe.open_requests(array[p_key], array[print]) r;
  if use = 2 and not exists (select from troupe.idempotency i join troupe.job j on j.id = i.ids[1]
                              where i.key = p_key) then
    delete from troupe.idempotency i where i.key = p_key;
    select r.uses[1] into use from troupe.open_requests(array[p_key], array[print]) r;
  end if;
  if use in (2, 3) then
    select i.ids[1] into job_id from troupe.idempotency i where i.key = p_key and use = 2;
    return;
  end if;
  perform pg_advisory_xact_lock(72331733, 6); -- of those who count exports
  if (select count(*) from troupe.export e where not e.over) >= p_most then
    perform troupe.end_exports();
    if (select count(*) from troupe.export e where not e.over) >= p_most then
      raise exception 'there are % exports, as many as are kept; delete one, or wait until one expires', p_most
        using errcode = 'TR409';
    end if;
  end if;
  if (select sum(r.bytes) from troupe.export_runs() r) >= p_most_bytes then
    raise exception 'the exports that are kept have % bytes or more; delete one, or wait until one expires',
      p_most_bytes using errcode = 'TR409';
  end if;
  job_id := (troupe.enqueue_many(array['troupe.export'], array['troupe.exports'], array[p_args], array[0::smallint],
                                 array[5::smallint], p_own => true))[1];
  insert into troupe.export (job_id, args) values (job_id, p_args);
  perform troupe.close_requests(array[p_key], array[1], array[use], array[job_id], array[0]::smallint[]);
end $$;

CREATE FUNCTION troupe.start_run(p_node bigint, p_lease bigint, p_job bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  update troupe.lease set started = started || p_job where id = p_lease and node = p_node;
  return found;
end $$;

CREATE FUNCTION troupe.states_of(p_jobs bigint[]) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
begin
  return (select array_agg(s.state order by u.o)
            from unnest(p_jobs) with ordinality u(id, o)
            left join troupe.jobs_of(p_jobs) s on s.id = u.id);
end $$;

CREATE FUNCTION troupe.steer_worker(p_node bigint, p_wanted text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  update troupe.node n set wanted = case when n.wanted = 'terminate' then n.wanted else p_wanted end
   where n.id = p_node and n.session is not null and n.ended_at is null;
  if not found then
    raise exception 'there is no worker % that goes on', p_node using errcode = 'TR404';
  end if;
end $$;

CREATE FUNCTION troupe.still_waits(p_job bigint, p_attempt smallint) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  return exists (select from troupe.job j where j.id = p_job)
     and not exists (select from troupe.attempt t where t.job_id = p_job and t.attempt = p_attempt);
end $$;

CREATE FUNCTION troupe.stop_claims(p_queue text) RETURNS void
    LANGUAGE plpgsql
    SET lock_timeout TO '2s'
    AS $$
begin
  perform pg_advisory_xact_lock(troupe.queue_lock(p_queue));
exception when lock_not_available then
  raise exception 'a long transaction is claiming from queue "%"; try again later', p_queue
    using errcode = 'TR409';
end $$;

CREATE FUNCTION troupe.store_outcomes(p_node bigint, p_done bigint[], p_held bigint[], p_plain boolean, p_leases bigint[], p_jobs bigint[], p_attempts smallint[], p_outcomes smallint[], p_started_ago_ms bigint[], p_finished_ago_ms bigint[], p_results jsonb[], p_errors text[], p_retry_ms bigint[], OUT fenced bigint[], OUT deferred bigint) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  alive bigint[];
  written bigint[];
  snoozed bigint[];
  held_jobs bigint[];
  held_attempts smallint[];
  homes text[];   -- the queues of the leases, and
  amounts bigint[]; -- how many outcomes are of each
begin
  fenced := '{}'; deferred := 0;
  if p_outcomes @> array[6::smallint] then
    -- A snooze writes no attempt that a cancel could meet, so these two meet at the job.
    perform from troupe.job j
      where j.id = any (array(select i from unnest(p_jobs, p_outcomes) u(i, o) where o = 6))
      order by j.id for key share;
    -- Whom the leases still hold: a snooze sent twice must not put off a run that was snoozed
    -- already, and may be running again.
    select array_agg(u.i), array_agg(u.a) into held_jobs, held_attempts
      from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
     where l.id = any (p_done || p_held) and l.node = p_node;
  end if;
  with gone as (delete from troupe.lease l where l.id = any (p_done) and l.node = p_node returning l.id)
  select coalesce(array_agg(id), '{}') into alive from gone;
  if p_held <> '{}' then
    alive := alive || array(select l.id from troupe.lease l
                             where l.id = any (p_held) and l.node = p_node order by l.id for key share);
  end if;
  if p_plain and cardinality(alive) = cardinality(p_done) + cardinality(p_held) then
    -- A lease has jobs of one queue, so one of them tells it. Null: that one was deleted.
    homes := array(select distinct (select j.queue from troupe.job j
                                     where j.id = p_jobs[array_position(p_leases, l)])
                     from unnest(alive) l where l = any (p_leases));
    if cardinality(homes) = 1 then
      amounts := array[cardinality(p_jobs)];
    elsif array_position(homes, null) is null then
      select coalesce(array_agg(x.queue), '{}'), array_agg(x.jobs) into homes, amounts
        from (select j.queue, sum(u.jobs) as jobs
                from (select g.l, min(g.i) as i, count(*) as jobs from unnest(p_leases, p_jobs) g(l, i)
                       group by g.l) u
                join troupe.job j on j.id = u.i group by j.queue) x;
    end if;
  end if;
  if homes is not null and array_position(homes, null) is null then
    begin
      -- The plain insert costs half of ON CONFLICT; the other way is for the rare batch in which
      -- somebody was first.
      with ended as (
        insert into troupe.attempt (job_id, attempt, outcome, node, started_at, finished_at, result)
        select i, a, 1, p_node, now() - s * interval '1 ms', now() - f * interval '1 ms', r
          from unnest(p_jobs, p_attempts, p_started_ago_ms, p_finished_ago_ms, p_results) u(i, a, s, f, r))
      insert into troupe.tally (queue, state, jobs)
      select q, 1, c from unnest(homes, amounts) u(q, c);
      return;
    exception when unique_violation then
      null;
    end;
  end if;

  with given as materialized (
    select i, a,
           case when o = 4 and j.max_attempts <= 1 + (select count(*) from troupe.attempt t
                                                       where t.job_id = i and t.outcome = 4)
                then 3 else o end as o,
           now() - s * interval '1 ms' as started, now() - f * interval '1 ms' as finished, r, e, w,
           troupe.lane_for(j.queue, j.priority, i) as lane, j.queue as home
      from unnest(p_leases, p_jobs, p_attempts, p_outcomes, p_started_ago_ms, p_finished_ago_ms,
                  p_results, p_errors, p_retry_ms) u(l, i, a, o, s, f, r, e, w)
      join troupe.job j on j.id = u.i
     where l = any (alive)),
  ended as (
    insert into troupe.attempt (job_id, attempt, outcome, node, started_at, finished_at, result, error)
    select i, a, o, p_node, started, finished, r, e from given where o <> 6
    on conflict do nothing
    returning job_id),
  kept as materialized (
    select i, a, o, w, lane, home from given
     where case when o = 6 then (i, a) in (select * from unnest(held_jobs, held_attempts))
                                and not exists (select from troupe.attempt t
                                                 where t.job_id = i and t.attempt = a)
                else i in (select job_id from ended) end),
  waits as (
    insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
    select i, clock_timestamp() + w * interval '1 ms', lane,
           case when o = 4 then a + 1 else a end, case when o = 4 then 2 else 3 end
      from kept where o in (4, 6)
    on conflict do nothing
    returning job_id),
  counted as (
    insert into troupe.tally (queue, state, jobs)
    select home, o, count(*) from kept where o in (1, 2, 3) group by home, o)
  select coalesce(array_agg(i), '{}'), coalesce(array_agg(i) filter (where o = 6), '{}'),
         (select count(*) from waits)
    into written, snoozed, deferred
    from kept;
  if snoozed <> '{}' then -- a snoozed run has left its lease; a rescue must not find it there
    update troupe.lease l
       set (jobs, attempts) = (
             select coalesce(array_agg(u.i), '{}'), coalesce(array_agg(u.a), '{}')
               from unnest(l.jobs, l.attempts) u(i, a) where u.i <> all (snoozed))
     where l.id = any (p_held) and l.node = p_node and l.jobs && snoozed;
  end if;
  -- What is there already just as it is told is an answer that was lost on its way: ours. A rescue
  -- writes for this node, too, but other things.
  select coalesce(array_agg(u.i), '{}') into fenced
    from unnest(p_jobs, p_attempts, p_outcomes, p_errors) u(i, a, o, e)
   where u.i <> all (written)
     and not exists (select from troupe.attempt t
                      where t.job_id = u.i and t.attempt = u.a and t.node = p_node
                        and (t.outcome = u.o or (t.outcome = 3 and u.o = 4))
                        and t.error is not distinct from u.e)
     and not exists (select from troupe.deferred d
                      where u.o = 6 and d.job_id = u.i and d.attempt = u.a);
end $$;

CREATE FUNCTION troupe.swap_jobs(p_low bigint, p_high bigint, p_moved boolean) RETURNS text
    LANGUAGE plpgsql
    SET lock_timeout TO '50ms'
    AS $_$
declare
  name text;
  part text;
begin
  if p_moved then
    foreach name in array array['job', 'attempt', 'progress', 'job_log'] loop
      execute format('create table troupe.%1$I (like troupe.%2$I including defaults including constraints
                        including indexes, constraint its_range check (%3$I >= %4$s and %3$I < %5$s))',
                     name || '_' || p_low || '_next', name,
                     case name when 'job' then 'id' else 'job_id' end, p_low, p_high);
    end loop;
    perform troupe.copy_jobs(p_low, p_high, array(select s.job_id from troupe.straggler s where not s.alive));
    execute format('create trigger note_late after insert or delete on troupe.%I
                      for each row execute function troupe.note_touched(''id'')', 'job_' || p_low || '_next');
  end if;
  perform pg_advisory_xact_lock(72331733, 1); -- of those who make partitions
  lock table only troupe.job, only troupe.attempt, only troupe.progress, only troupe.job_log
    in access exclusive mode;
  -- Whoever was changing something has ended by now; what it left is seen.
  if exists (select from troupe.touched t where t.job_id >= p_low and t.job_id < p_high) then
    raise exception using errcode = 'TR409';
  end if;
  perform troupe.copy_jobs(p_low, p_high, array(select s.job_id from troupe.straggler s where s.alive));
  foreach name in array array['job', 'attempt', 'progress', 'job_log'] loop
    part := name || '_' || p_low;
    execute format('drop table troupe.%I', part);
    if p_moved then
      execute format('alter table troupe.%I attach partition troupe.%I for values from (%s) to (%s)',
                     name, part || '_next', p_low, p_high);
      execute format('alter table troupe.%I drop constraint its_range', part || '_next');
      execute format('alter table troupe.%I rename to %I', part || '_next', part);
    end if;
  end loop;
  if not p_moved then
    delete from troupe.partition p where p.what = 'jobs' and p.low = p_low;
  end if;
  insert into troupe.tally (queue, state, jobs)
  select e.queue, s.state, -sum(e.jobs) from troupe.expiring e cross join lateral unnest(array[0, e.outcome]) s(state)
   group by e.queue, s.state;
  return case when p_moved then 'moved' else 'dropped' end;
exception
  when lock_not_available then return 'busy';
  when sqlstate 'TR409' then return 'again';
end $_$;

CREATE FUNCTION troupe.sweep_exports(p_most integer DEFAULT 400) RETURNS bigint
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  nobodys record;
  dropped bigint := 0;
begin
  if not pg_try_advisory_xact_lock(72331733, 7) then
    return 0;
  end if;
  perform troupe.end_exports();
  -- Outcome and file in one look: a run that ends meanwhile has both or neither.
  select r.job_id, r.attempt, r.chunks into nobodys from troupe.export_runs() r
   where not exists (select from troupe.export e where e.job_id = r.job_id and e.attempt = r.attempt and not e.over)
     and (exists (select from troupe.attempt a where a.job_id = r.job_id and a.attempt = r.attempt)
          or not exists (select from troupe.job j where j.id = r.job_id))
   order by r.job_id, r.attempt limit 1;
  if found then
    delete from troupe.export_chunk c
     where c.job_id = nobodys.job_id and c.attempt = nobodys.attempt and c.nth >= nobodys.chunks - p_most;
    get diagnostics dropped = row_count;
  end if;
  delete from troupe.export e
   where e.job_id in (select o.job_id from troupe.export o
                       where o.over and o.created_at < clock_timestamp() - interval '7 days'
                       order by o.job_id limit p_most);
  return dropped;
end $$;

CREATE FUNCTION troupe.take(p_node bigint, p_queue text, p_limit integer, p_slots integer DEFAULT NULL::integer, p_held integer DEFAULT 0, p_later boolean DEFAULT false) RETURNS TABLE(lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind text, args jsonb, permits integer, permits_changed bigint, again boolean, retry jsonb, traceparent text)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  wish text;
  candidate record;
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
  select n.wanted into wish from troupe.node n where n.id = p_node and n.ended_at is null for key share;
  if not found then
    raise exception 'node % is not alive', p_node using errcode = 'TR410';
  elsif wish is not null then
    return;
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
      return query select * from troupe.take_keyed(p_node, p_queue, p_limit, p_slots, p_held, most, have, p_later);
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
      select x.id, x.era from troupe.lane_now x where x.queue = p_queue
       order by x.priority, x.served_at, x.id
    loop
      -- One row at a time: a FOR loop over the locking query would prefetch, and lock, all of them.
      select * into l from troupe.lane x
        where x.id = candidate.id and x.era >= candidate.era for update skip locked;
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
             taken = taken + got, served_at = clock_timestamp(), moves = moves + 1, era = (moves + 1) / 32
       where x.id = l.id and x.era = l.era;
      continue when got = 0;
      select array_agg(g.i), array_agg(u.a) into ids, ats
        from unnest(firsts, counts, attempts) u(f, c, a) cross join generate_series(u.f, u.f + u.c - 1) g(i);
      whole := not exists (
        select from troupe.revoked v
         where v.job_id between (select min(f) from unnest(firsts) f)
                            and (select max(f + c - 1) from unnest(firsts, counts) u(f, c)));
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
                 take.permits, take.permits_changed, null::boolean, j.retry, j.meta ->> 'traceparent'
            from unnest(firsts, counts, attempts) u(f, c, a)
            join troupe.job j on j.id between u.f and u.f + u.c - 1;
      else
        return query
          select lease_id, j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args,
                 take.permits, take.permits_changed, null::boolean, j.retry, j.meta ->> 'traceparent'
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

CREATE FUNCTION troupe.take_keyed(p_node bigint, p_queue text, p_limit integer, p_slots integer, p_held integer, p_most integer, p_have integer, p_later boolean) RETURNS TABLE(lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind text, args jsonb, permits integer, permits_changed bigint, again boolean, retry jsonb, traceparent text)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  q troupe.queue;
  s troupe.key_state := troupe.key_state_of(p_queue);
  offered record;
  part record;
  candidate record;
  looks int;
  ids bigint[] := '{}';
  ats smallint[];
  names text[];
  each_key text[]; -- each of these once, and how many jobs are of it; null: not counted yet
  amounts int[];
  firsts bigint[]; -- of the runs that are handed out whole; null: some are not
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
    if s.spent >= 500 then
      s := troupe.next_generation(s);
    end if;
    perform troupe.fold_keys(p_queue, false);
    select * into offered from troupe.offer_parked(p_queue, p_limit);
    many := coalesce(offered.many, false);
    for candidate in
      select x.id, x.priority, x.served_at from troupe.lane_now x where x.queue = p_queue
      union all
      select 0, offered.best, s.served_at where offered.best is not null
      order by 2, 3, 1
    loop
      if candidate.id = 0 then
        touched := touched || offered.keys;
        select u.jobs, u.attempts, u.keys into ids, ats, names
          from troupe.unpark(p_queue, offered.best, offered.dues, offered.turns, offered.names,
                             offered.jobs, offered.attempts, offered.keys) u;
        served := true;
        firsts := null;
        each_key := null;
      else
        select * into part from troupe.read_lane(p_queue, candidate.id, p_limit, looks);
        looks := looks - part.looked;
        ids := part.jobs; ats := part.attempts; names := part.keys;
        touched := touched || part.fresh;
        firsts := part.firsts;
        each_key := part.names; amounts := part.amounts;
      end if;
      exit when ids <> '{}' or looks <= 0;
    end loop;
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
    if each_key <> '{}' then
      insert into troupe.key_batch (lease, node, queue, names, counts, jobs, keys)
      values (lease_id, p_node, p_queue, each_key, amounts, ids, names);
    end if;
    if q.key_rate is not null then
      insert into troupe.key_pace as p (queue, generation, limit_key, rate_at)
      select p_queue, s.generation, u.k, clock_timestamp() + make_interval(
               secs => u.n * (q.key_rate_period_ms / 1000.0 / q.key_rate))
        from unnest(each_key, amounts) u(k, n)
      on conflict (queue, generation, limit_key) do update
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
  if firsts is not null and p_later and cardinality(ids) > 100 then -- fewer are read sooner than asked for again
    lease := lease_id; again := true;
    args := (select jsonb_agg(jsonb_build_array(u.f, u.c, u.a)) from unnest(firsts, part.counts, part.tries) u(f, c, a));
    return next;
    return;
  end if;
  if firsts is not null then
    return query
      select lease_id, j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args,
             take_keyed.permits, take_keyed.permits_changed, true, j.retry, j.meta ->> 'traceparent'
        from unnest(firsts, part.counts, part.tries) u(f, c, a)
        join troupe.job j on j.id between u.f and u.f + u.c - 1;
    return;
  end if;
  return query
    select lease_id, j.id, u.a, j.max_attempts, j.timeout_ms, j.kind, j.args,
           take_keyed.permits, take_keyed.permits_changed, true, j.retry, j.meta ->> 'traceparent'
      from unnest(ids, ats) u(i, a) join troupe.job j on j.id = u.i;
end  $$;

CREATE FUNCTION troupe.take_next(p_queue text, p_most integer, OUT job bigint, OUT attempt smallint, OUT passed integer) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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
  for urgency in select distinct x.priority from troupe.known_lane x where x.queue = p_queue order by 1 loop
    lanes := array(
      select x.row from troupe.known_lane k
       cross join lateral (select y as row from troupe.lane y where y.id = k.id order by y.era desc limit 1) x
       where k.queue = p_queue and k.priority = urgency order by k.id);
    was := lanes;
    loop
      before := pg_current_snapshot(); -- older than what the next statement sees
      -- Of each lane: what late writers have left there, and what is behind its cursor. One statement: what is
      -- read and what counts as still open come from one snapshot.
      select x.nth, r.how, r.xact, r.seq, r.job_id + r.skip as job_id, r.jobs - r.skip as jobs, r.skip,
             r.attempt, pg_current_snapshot() as snap
        into e
        from unnest(lanes) with ordinality x(xact, seq, late_xact, late_seq, served_at, taken, id, priority,
                                             shard, queue, open, draining, part, late_part, moves, era,
                                             nth)
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
      perform from troupe.lane x where x.id = l.id and x.era >= l.era for update skip locked;
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
               late_xact = l.late_xact, late_seq = l.late_seq, late_part = l.late_part, taken = l.taken,
               served_at = clock_timestamp(), moves = x.moves + 1, era = (x.moves + 1) / 32
         where (x.id, x.era) in (select y.id, y.era from troupe.lane y
                                  where y.id = l.id and y.era >= l.era for update skip locked);
      end if;
    end loop;
    exit when job is not null or e is not null; -- or somebody is at it, or there was too much to pass
  end loop;
end $$;

CREATE FUNCTION troupe.take_ordered(p_node bigint, p_queue text, p_limit integer, p_slots integer) RETURNS TABLE(lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind text, args jsonb, permits integer, permits_changed bigint, again boolean, retry jsonb, traceparent text)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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
           false, j.retry, j.meta ->> 'traceparent'
      from troupe.job j where j.id = picked;
end $$;

CREATE FUNCTION troupe.take_own(p_lane integer, p_xact xid8, p_seq bigint, p_part smallint) RETURNS smallint
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION troupe.take_room(p_queues text[], p_run_at timestamp with time zone[], p_delays_ms bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  asked text[];
  wanted bigint[];
  lack record;
begin
  select array_agg(x.q), array_agg(x.n) into asked, wanted
    from (select u.q, count(*) as n from unnest(p_queues, p_run_at, p_delays_ms) u(q, r, d)
           where u.d is null and (u.r > now()) is not true group by u.q) x;
  select r.name, r.most - r.free as waits, r.most, a.n into lack
    from troupe.rooms(asked, cardinality(p_queues)) x
   cross join lateral unnest(x.names, x.free, x.most) r(name, free, most)
    join unnest(asked, wanted) a(q, n) on a.q = r.name
   where a.n > r.free limit 1;
  if found then
    raise exception 'queue "%" is full: % jobs wait, at most % may, and % more do not fit',
      lack.name, lack.waits, lack.most, lack.n using errcode = 'TR503';
  end if;
end $$;

CREATE FUNCTION troupe.tallied(p_queue text, OUT jobs bigint, OUT completed bigint, OUT cancelled bigint, OUT discarded bigint, OUT retryable bigint, OUT scheduled bigint) RETURNS record
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  select coalesce(max(b.jobs), 0) + coalesce(sum(d.jobs) filter (where d.state = 0), 0),
         coalesce(max(b.completed), 0) + coalesce(sum(d.jobs) filter (where d.state = 1), 0),
         coalesce(max(b.cancelled), 0) + coalesce(sum(d.jobs) filter (where d.state = 2), 0),
         coalesce(max(b.discarded), 0) + coalesce(sum(d.jobs) filter (where d.state = 3), 0),
         coalesce(max(b.retryable), 0) + coalesce(sum(d.jobs) filter (where d.state = 4), 0),
         coalesce(max(b.scheduled), 0) + coalesce(sum(d.jobs) filter (where d.state = 5), 0)
    into jobs, completed, cancelled, discarded, retryable, scheduled
    from (select) one
    left join troupe.tally_base b on b.queue = p_queue
    left join lateral (
      select t.jobs, t.state from troupe.tally t
       where t.queue = p_queue and t.xact > coalesce(b.xact, '0')
      union all
      select t.jobs, t.state from unnest(b.open) o(writer) cross join lateral (
        select x.jobs, x.state from troupe.tally x where x.queue = p_queue and x.xact = o.writer offset 0) t
    ) d on true;
end $$;

CREATE FUNCTION troupe.tell(p_hint text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  if current_setting('max_prepared_transactions') = '0' and pg_notification_queue_usage() < 0.5 then
    perform pg_notify('troupe', p_hint);
  end if;
end $$;

CREATE FUNCTION troupe.tell_deferred() RETURNS trigger
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  if tg_op <> 'DELETE' then
    insert into troupe.put_off_at (due_at) select min(due_at) from come having count(*) > 0;
  end if;
  if tg_op = 'INSERT' then
    insert into troupe.tally (queue, state, jobs)
    select l.queue, c.state, sum(c.jobs)
      from (select lane, case reason when 2 then 4 else 5 end as state, count(*) as jobs
              from come group by 1, 2) c
      join troupe.known_lane l on l.id = c.lane group by l.queue, c.state;
  elsif tg_op = 'DELETE' then
    insert into troupe.tally (queue, state, jobs)
    select l.queue, c.state, -sum(c.jobs)
      from (select lane, case reason when 2 then 4 else 5 end as state, count(*) as jobs
              from gone group by 1, 2) c
      join troupe.known_lane l on l.id = c.lane group by l.queue, c.state;
  else
    insert into troupe.tally (queue, state, jobs)
    select l.queue, c.state, sum(c.jobs)
      from (select lane, case reason when 2 then 4 else 5 end as state, count(*) as jobs
              from come group by 1, 2
            union all
            select lane, case reason when 2 then 4 else 5 end, -count(*) from gone group by 1, 2) c
      join troupe.known_lane l on l.id = c.lane group by l.queue, c.state having sum(c.jobs) <> 0;
  end if;
  return null;
end $$;

CREATE FUNCTION troupe.tell_deleted() RETURNS trigger
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  insert into troupe.tally (queue, state, jobs)
  select g.queue, 0, -count(*) from gone g group by g.queue
  union all
  select g.queue, a.outcome, -count(*)
    from gone g cross join lateral (select t.outcome, t.reopened from troupe.attempt t
                                     where t.job_id = g.id order by t.attempt desc limit 1) a
   where a.outcome in (1, 2, 3) and not a.reopened group by g.queue, a.outcome;
  return null;
end $$;

CREATE FUNCTION troupe.tell_moved() RETURNS trigger
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  insert into troupe.tally (queue, state, jobs)
  select x.queue, 0, sum(x.jobs)
    from (select n.queue, count(*) as jobs from is_now n group by n.queue
          union all
          select w.queue, -count(*) from was w group by w.queue) x
   group by x.queue having sum(x.jobs) <> 0;
  return null;
end $$;

CREATE FUNCTION troupe.tell_of_cancels() RETURNS trigger
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  perform troupe.tell('beat ' || x.node)
     from (select distinct a.node
             from gone g join troupe.attempt a on a.job_id = g.job_id and a.attempt = g.attempt
            where a.outcome = 2 and a.node is not null) x;
  return null;
end $$;

CREATE FUNCTION troupe.tell_of_lanes() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  perform troupe.tell('wake ' || q.queue) from (select distinct m.queue from made m) q;
  return null;
end $$;

CREATE FUNCTION troupe.tell_of_permits() RETURNS trigger
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  if exists (select from troupe.permit p
              where p.queue = new.queue and p.node <> new.node
                and p.wanted_at > clock_timestamp() - interval '2.5 s') then
    perform troupe.tell('wake ' || new.queue);
  end if;
  return null;
end $$;

CREATE FUNCTION troupe.tell_of_queue() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  perform troupe.tell('beat');
  return null;
end $$;

CREATE FUNCTION troupe.tell_reopened() RETURNS trigger
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  insert into troupe.tally (queue, state, jobs)
  select x.queue, x.outcome, -count(*)
    from (select w.outcome, (select j.queue from troupe.job j where j.id = w.job_id) as queue
            from was w join is_now n on n.job_id = w.job_id and n.attempt = w.attempt
           where n.reopened and not w.reopened and w.outcome in (1, 2, 3)) x
   where x.queue is not null group by x.queue, x.outcome;
  return null;
end $$;

CREATE FUNCTION troupe.tidy_keys() RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
  delete from troupe.key_pace p
   where (p.queue, p.generation, p.limit_key) in (
           select x.queue, x.generation, x.limit_key from troupe.key_pace x
            where x.rate_at < now() - interval '1 minute' limit 20000 for update skip locked);
  -- What was ended while the limits were taken away. Queue by queue: the others' need not be read.
  delete from troupe.key_end e using troupe.queue q
   where q.key_concurrency is null and q.key_rate is null and e.queue = q.name;
end $$;

CREATE FUNCTION troupe.token_standing(p_of troupe.token) RETURNS text
    LANGUAGE sql
    AS $$
  select case when p_of.revoked_at is not null then 'revoked'
              when p_of.expires_at <= clock_timestamp() then 'expired' else 'live' end;
$$;

CREATE FUNCTION troupe.told_ages(p_queue text) RETURNS jsonb
    LANGUAGE sql
    SET enable_seqscan TO 'off'
    AS $$
  select to_jsonb(a) - 'queue' from troupe.retention r, lateral troupe.ages_of(r.queue) a
   where r.queue in ('', p_queue) order by r.queue desc limit 1;
$$;

CREATE FUNCTION troupe.told_time(p_at timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE
    AS $$
  select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
$$;

CREATE FUNCTION troupe.traced(p_traceparent text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    AS $_$
begin
  if p_traceparent is null or p_traceparent = '' then
    return null;
  elsif p_traceparent !~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'
     or p_traceparent ~ '^(ff|..-0{32}|.{36}0{16})' then
    raise exception 'traceparent must be one of W3C Trace Context' using errcode = 'TR400';
  end if;
  return jsonb_build_object('traceparent', p_traceparent);
end $_$;

CREATE FUNCTION troupe.unique_digest(p_kind text, p_queue text, p_args jsonb, p_unique jsonb, p_at timestamp with time zone) RETURNS bytea
    LANGUAGE sql STABLE
    AS $$
  select sha256(convert_to(jsonb_build_array(
    p_kind,
    case when p_unique -> 'queue' = 'true' then p_queue end,
    case when p_unique -> 'args' = 'true' then jsonb_build_array(p_args)
         when jsonb_typeof(p_unique -> 'args') = 'array'
           then troupe.unique_fields(p_args, p_unique -> 'args') end,
    (p_unique ->> 'period_ms')::numeric::bigint,
    floor(extract(epoch from p_at) * 1000 / (p_unique ->> 'period_ms')::numeric::bigint))::text, 'UTF8'))
$$;

CREATE FUNCTION troupe.unique_digest_in(p_kind text, p_queue text, p_args jsonb, p_rule jsonb, p_ends_at timestamp with time zone) RETURNS bytea
    LANGUAGE sql STABLE
    AS $$
  select troupe.unique_digest(p_kind, p_queue, p_args, p_rule,
                              coalesce(p_ends_at - interval '1 ms', now()));
$$;

CREATE FUNCTION troupe.unique_end(p_unique jsonb, p_at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    AS $$
  select to_timestamp((floor(extract(epoch from p_at) * 1000 / (p_unique ->> 'period_ms')::numeric::bigint)
                       + 1) * (p_unique ->> 'period_ms')::numeric::bigint / 1000)
$$;

CREATE FUNCTION troupe.unique_fields(p_args jsonb, p_fields jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
  select jsonb_build_array(jsonb_agg(distinct f),
                           jsonb_object_agg(f, p_args -> f) filter (where p_args ? f))
    from jsonb_array_elements_text(p_fields) f
$$;

CREATE FUNCTION troupe.unpark(p_queue text, p_priority smallint, p_dues timestamp with time zone[], p_turns bigint[], p_names text[], INOUT jobs bigint[], INOUT attempts smallint[], INOUT keys text[]) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  gen constant int := (troupe.key_state_of(p_queue)).generation;
  held bigint[];
begin
  delete from troupe.key_turn t using unnest(p_dues, p_turns, p_names) w(due_at, turn, name)
   where t.queue = p_queue and t.generation = gen and t.due_at = w.due_at and t.turn = w.turn
     and w.name = any (unpark.keys);
  held := array(select j.id from troupe.job j where j.id = any (unpark.jobs) order by j.id
                  for key share skip locked);
  -- A statement of its own, to see what was done before they were held.
  with gone as (
    delete from troupe.parked p using unnest(unpark.jobs, unpark.attempts, unpark.keys)
                                        with ordinality u(i, a, k, o)
     where u.i = any (held) and troupe.still_waits(u.i, u.a)
       and p.queue = p_queue and p.generation = gen and p.limit_key = u.k and p.priority = p_priority
       and p.job_id = u.i
       and p.attempt = u.a
    returning u.i, u.a, u.k, u.o)
  select coalesce(array_agg(g.i order by g.o), '{}'), coalesce(array_agg(g.a order by g.o), '{}'),
         coalesce(array_agg(g.k order by g.o), '{}')
    into jobs, attempts, keys
    from gone g;
end $$;

CREATE FUNCTION troupe.unseen_by(p_snapshot pg_snapshot, p_own xid8) RETURNS xid8[]
    LANGUAGE sql IMMUTABLE
    AS $$
  select array(select x from pg_snapshot_xip(p_snapshot) x where x <> p_own)
         || case when p_own < pg_snapshot_xmax(p_snapshot) then array[p_own] else '{}' end;
$$;

CREATE FUNCTION troupe.upkeep(OUT partitions_made integer, OUT revocations_dropped bigint) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'on'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
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
      from troupe.lane_now l),
  -- A cancel that is told to a runner by its heartbeat needs its row until the lease is gone.
  leased as materialized (select u.i from troupe.live_leases() e, unnest(e.jobs) u(i))
  delete from troupe.revoked v
   where not exists (select from pair p
                      where p.queue = v.queue and p.priority = v.priority
                        and (p.open or p.oldest <= v.xact))
     and not exists (select from leased x where x.i = v.job_id);
  get diagnostics revocations_dropped = row_count;
end $$;

CREATE FUNCTION troupe.wake(p_queues text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  one text;
begin
  foreach one in array array(select distinct q from unnest(p_queues) q) loop
    -- Once more each: two writers may be in each other's way, and a needless notification is dear.
    if troupe.is_slept_on(one) and troupe.is_slept_on(one) and troupe.is_slept_on(one) then
      perform troupe.tell('wake ' || one);
    end if;
  end loop;
end $$;

CREATE FUNCTION troupe.wake_for_deferred(p_queues text[], p_run_at timestamp with time zone[], p_delays_ms bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
  at_once text[];
  soonest timestamptz;
begin
  select coalesce(array_agg(distinct q) filter (where due is null), '{}'), min(due) into at_once, soonest
    from (select q, case when d is not null then now() + d * interval '1 millisecond'
                         when r > now() then r end as due
            from unnest(p_queues, p_run_at, p_delays_ms) u(q, r, d)) x;
  perform troupe.wake(at_once);
  if soonest < clock_timestamp() + interval '1 s'
     and not exists (select from troupe.deferred d
                      where d.due_at > clock_timestamp() - interval '1 s' and d.due_at < soonest) then
    perform troupe.tell('due ' || greatest(
      0, ceil(extract(epoch from soonest - clock_timestamp()) * 1000))::bigint);
  end if;
end $$;

CREATE FUNCTION troupe.watch_jobs(p_jobs bigint[], p_marks bigint[], p_lines bigint[]) RETURNS TABLE(id bigint, mark bigint, ended boolean, last_line bigint)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_bitmapscan TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  with run as materialized (
    select u.i, u.n, l.id as lease, l.node
      from troupe.live_leases() l cross join unnest(l.jobs, l.attempts) u(i, n)),
  seen as (
    select w.id, w.mark as known_mark, w.line as known_line,
           case when j.id is null then 0
                else hashtextextended(row(d.reason, d.due_at, a.attempt, a.outcome, a.reopened, r.lease,
                                          p.attempt, p.updated_at, p.percent, p.message,
                                          j.queue, j.priority, j.max_attempts, j.timeout_ms, j.tags, j.run_at)::text,
                                      0) end as mark,
           j.id is not null and d.job_id is null and coalesce(a.outcome in (1, 2, 3) and not a.reopened, false) as ended,
           case when j.id is null then 0 else coalesce(g.seq, 0) end as last_line
      from unnest(p_jobs, p_marks, p_lines) w(id, mark, line)
      left join lateral (select x.id, x.queue, x.priority, x.max_attempts, x.timeout_ms, x.tags, x.run_at
                           from troupe.job x where x.id = w.id offset 0) j on true
      left join lateral (select x.job_id, x.reason, x.due_at
                           from troupe.deferred x where x.job_id = w.id offset 0) d on true
      left join lateral (select t.attempt, t.outcome, t.reopened
                           from troupe.attempt t where t.job_id = w.id order by t.attempt desc limit 1) a on true
      left join lateral (select x.attempt, x.updated_at, x.percent, x.message
                           from troupe.progress x where x.job_id = w.id offset 0) p on true
      left join lateral (select x.seq
                           from troupe.job_log x where x.job_id = w.id order by x.seq desc limit 1) g on true
      left join run r on r.i = w.id and r.n = coalesce(a.attempt, 0) + 1)
  select n.id, n.mark, n.ended, n.last_line from seen n
   where n.mark is distinct from n.known_mark or n.last_line is distinct from n.known_line;
end $$;

CREATE FUNCTION troupe.why(job bigint, OUT id bigint, OUT state text, OUT reason text, OUT queue text, OUT kind text, OUT limit_key text, OUT node text, OUT since timestamp with time zone, OUT due_at timestamp with time zone, OUT allowed bigint, OUT in_use bigint, OUT ahead bigint, OUT more_ahead boolean, OUT nodes integer, OUT error text, OUT holder bigint) RETURNS record
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
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
  keys troupe.key_state;
  heartbeat timestamptz;
  aside boolean;
  total bigint;
  of_key bigint;
  head record;    -- of its queue, when that is ordered
  behind_head boolean := false;
  able int;       -- nodes that have its kind
begin
  select j.id, j.queue, j.kind, j.limit_key, j.priority into id, queue, kind, limit_key, urgency
    from troupe.job j where j.id = why.job;
  if not found then
    raise exception 'there is no job %', job using errcode = 'TR404';
  end if;
  select count(*) filter (where n.heartbeat_at > clock_timestamp() - late), max(n.heartbeat_at),
         count(*) filter (where n.heartbeat_at > clock_timestamp() - late
                            and (n.kinds is null or why.kind = any (n.kinds)))
    into nodes, heartbeat, able
    from troupe.node n
   where n.ended_at is null and n.wanted is null and why.queue <> all (n.skips)
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
      reason := case when later.reason = 2 and nodes > 0 and able = 0 then 'no_kind' else 'time' end;
      return;
    end if;
  end if;

  if limit_key is not null and (q.key_concurrency is not null or q.key_rate is not null) then
    keys := troupe.key_state_of(why.queue);
    aside := exists (select from troupe.parked p
                      where p.job_id = why.job and p.attempt = coalesce(last.attempt, 0) + 1);
    of_key := (select count(*) from (
                 select from troupe.parked p
                  where p.queue = why.queue and p.generation = keys.generation and p.limit_key = why.limit_key
                    and (not aside or (p.priority, p.job_id) < (urgency, why.job))
                    and troupe.still_waits(p.job_id, p.attempt)
                  limit most + 1) x);
    -- What dead nodes ran counts until somebody is there to take it back.
    if q.key_concurrency is not null and nodes > 0 then
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
                           where p.queue = why.queue and p.generation = keys.generation
                             and p.limit_key = why.limit_key), due_at);
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

  if able = 0 then
    reason := 'no_kind';
    return;
  end if;

  if later.due_at is not null then -- nobody has moved it into its lane yet
    reason := case when later.due_at < clock_timestamp() - late then 'lag' else 'next' end;
    return;
  end if;

  if aside then -- keys take turns, too
    ahead := of_key + (select count(*) from (
                         select from troupe.key_turn t
                          where t.queue = why.queue and t.generation = keys.generation
                            and t.due_at <= clock_timestamp()
                            and t.turn < (select min(m.turn) from troupe.key_turn m
                                           where m.queue = why.queue and m.generation = keys.generation
                                             and m.limit_key = why.limit_key)
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

CREATE FUNCTION troupe.write_outcomes(p_node bigint, p_done bigint[], p_held bigint[], p_plain boolean, p_leases bigint[], p_jobs bigint[], p_attempts smallint[], p_outcomes smallint[], p_started_ago_ms bigint[], p_finished_ago_ms bigint[], p_results jsonb[], p_errors text[], p_retry_ms bigint[], OUT fenced bigint[], OUT deferred bigint) RETURNS record
    LANGUAGE plpgsql
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
begin
  select w.fenced, w.deferred into fenced, deferred
    from troupe.store_outcomes(p_node, p_done, p_held, p_plain, p_leases, p_jobs, p_attempts, p_outcomes,
                               p_started_ago_ms, p_finished_ago_ms, p_results, p_errors, p_retry_ms) w;
  if exists (
       select from (select distinct u.l
                      from unnest(p_done || case when coalesce(p_leases[1] = all (p_leases), true) then p_leases[1:1]
                                                 else p_leases end) u(l)) d
        where exists (select from troupe.key_batch b where b.node = p_node and b.lease = d.l offset 0)
           or exists (select from troupe.key_run k where k.node = p_node and k.lease = d.l offset 0)) then
    perform troupe.free_keys(p_node, p_done, p_leases, p_jobs);
  end if;
end $$;

CREATE TABLE troupe.attempt (
    job_id bigint NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone DEFAULT now() NOT NULL,
    node bigint,
    attempt smallint NOT NULL,
    outcome smallint NOT NULL,
    reopened boolean DEFAULT false NOT NULL,
    result jsonb,
    error text,
    CONSTRAINT attempt_outcome_check CHECK (((outcome >= 1) AND (outcome <= 5)))
)
PARTITION BY RANGE (job_id);

CREATE TABLE troupe.attempt_1 (
    job_id bigint NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone DEFAULT now() NOT NULL,
    node bigint,
    attempt smallint NOT NULL,
    outcome smallint NOT NULL,
    reopened boolean DEFAULT false NOT NULL,
    result jsonb,
    error text,
    CONSTRAINT attempt_outcome_check CHECK (((outcome >= 1) AND (outcome <= 5)))
);

CREATE TABLE troupe.attempt_5000001 (
    job_id bigint NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone DEFAULT now() NOT NULL,
    node bigint,
    attempt smallint NOT NULL,
    outcome smallint NOT NULL,
    reopened boolean DEFAULT false NOT NULL,
    result jsonb,
    error text,
    CONSTRAINT attempt_outcome_check CHECK (((outcome >= 1) AND (outcome <= 5)))
);

CREATE TABLE troupe.attempt_rest (
    job_id bigint NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone DEFAULT now() NOT NULL,
    node bigint,
    attempt smallint NOT NULL,
    outcome smallint NOT NULL,
    reopened boolean DEFAULT false NOT NULL,
    result jsonb,
    error text,
    CONSTRAINT attempt_outcome_check CHECK (((outcome >= 1) AND (outcome <= 5)))
);

ALTER TABLE troupe.audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME troupe.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE troupe.bulk_operation ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME troupe.bulk_operation_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE troupe.checkpoint ALTER COLUMN nth ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME troupe.checkpoint_nth_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE troupe.crawl (
    job_id bigint NOT NULL,
    opened_at timestamp with time zone DEFAULT now() NOT NULL,
    pages bigint DEFAULT 0 NOT NULL,
    fetched bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    max_depth integer NOT NULL,
    max_pages integer NOT NULL,
    closed boolean DEFAULT false NOT NULL,
    url text NOT NULL,
    selectors text[] DEFAULT '{}'::text[] NOT NULL
)
WITH (fillfactor='50');

CREATE TABLE troupe.deferred (
    job_id bigint NOT NULL,
    due_at timestamp with time zone NOT NULL,
    lane integer NOT NULL,
    attempt smallint NOT NULL,
    reason smallint NOT NULL,
    CONSTRAINT deferred_reason_check CHECK (((reason >= 1) AND (reason <= 3)))
);

CREATE TABLE troupe.expiring (
    jobs bigint NOT NULL,
    outcome smallint NOT NULL,
    queue text NOT NULL
);

CREATE TABLE troupe.expiry (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    low bigint NOT NULL,
    high bigint NOT NULL,
    dropped bigint NOT NULL,
    kept bigint NOT NULL
);

ALTER TABLE troupe.expiry ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME troupe.expiry_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE troupe.export (
    job_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    args jsonb NOT NULL,
    attempt smallint,
    bytes bigint,
    rows bigint,
    sha256 bytea,
    finished_at timestamp with time zone,
    expires_at timestamp with time zone,
    over boolean DEFAULT false NOT NULL,
    CONSTRAINT export_check CHECK ((((attempt IS NULL) = (bytes IS NULL)) AND ((attempt IS NULL) = (rows IS NULL)) AND ((attempt IS NULL) = (sha256 IS NULL)) AND ((attempt IS NULL) = (finished_at IS NULL)) AND ((attempt IS NULL) = (expires_at IS NULL)))),
    CONSTRAINT export_sha256_check CHECK ((octet_length(sha256) = 32))
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500');

CREATE TABLE troupe.export_chunk (
    job_id bigint NOT NULL,
    attempt smallint NOT NULL,
    nth integer NOT NULL,
    bytes bytea NOT NULL,
    CONSTRAINT export_chunk_bytes_check CHECK (((octet_length(bytes) >= 1) AND (octet_length(bytes) <= 262144)))
)
WITH (autovacuum_vacuum_scale_factor='0.05', autovacuum_vacuum_threshold='500', toast.autovacuum_vacuum_scale_factor='0.05', toast.autovacuum_vacuum_threshold='50000');
ALTER TABLE ONLY troupe.export_chunk ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE VIEW troupe.exported_job AS
 SELECT j.id,
    j.queue,
    j.kind,
    j.priority,
        CASE
            WHEN (d.job_id IS NOT NULL) THEN
            CASE d.reason
                WHEN 2 THEN 'retryable'::text
                ELSE 'scheduled'::text
            END
            WHEN (((a.last & 1) = 0) AND ((a.last & 14) <= 6)) THEN (ARRAY['completed'::text, 'cancelled'::text, 'discarded'::text])[((a.last & 14) / 2)]
            WHEN (r.attempt = (COALESCE((a.last >> 4), 0) + 1)) THEN 'running'::text
            ELSE 'available'::text
        END AS state,
    j.args,
    COALESCE((a.last >> 4), 0) AS attempt,
    j.max_attempts,
    j.timeout_ms,
    COALESCE(j.tags, '{}'::text[]) AS tags,
    j.limit_key,
    COALESCE(d.due_at, j.run_at, j.created_at) AS run_at,
    j.created_at
   FROM (((troupe.job j
     LEFT JOIN troupe.deferred d ON ((d.job_id = j.id)))
     LEFT JOIN ( SELECT t.job_id,
            max((((t.attempt * 16) + (t.outcome * 2)) + (t.reopened)::integer)) AS last
           FROM troupe.attempt t
          GROUP BY t.job_id) a ON ((a.job_id = j.id)))
     LEFT JOIN ( SELECT u.i,
            max(u.n) AS attempt
           FROM troupe.lease l,
            LATERAL UNNEST(l.jobs, l.attempts) u(i, n)
          GROUP BY u.i) r ON ((r.i = j.id)));

CREATE TABLE troupe.idempotency (
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    ids bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    fates smallint[] DEFAULT '{}'::smallint[] NOT NULL,
    CONSTRAINT idempotency_key_check CHECK (((octet_length(key) >= 1) AND (octet_length(key) <= 255)))
);

CREATE TABLE troupe.item (
    crawl bigint NOT NULL,
    page bigint NOT NULL,
    fetched_at timestamp with time zone DEFAULT now() NOT NULL,
    bytes bigint NOT NULL,
    status integer NOT NULL,
    headings integer NOT NULL,
    links integer NOT NULL,
    url text NOT NULL,
    title text NOT NULL,
    fields jsonb,
    error text
);

CREATE TABLE troupe.job_1 (
    id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    run_at timestamp with time zone,
    parent bigint,
    timeout_ms bigint,
    priority smallint DEFAULT 0 NOT NULL,
    max_attempts smallint DEFAULT 20 NOT NULL,
    queue text NOT NULL,
    kind text NOT NULL,
    args jsonb DEFAULT '{}'::jsonb NOT NULL,
    tags text[],
    meta jsonb,
    limit_key text COLLATE pg_catalog."C",
    retry jsonb,
    CONSTRAINT job_args_check CHECK ((pg_column_size(args) <= 8388608)),
    CONSTRAINT job_kind_check CHECK (((octet_length(kind) >= 1) AND (octet_length(kind) <= 128))),
    CONSTRAINT job_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 1000))),
    CONSTRAINT job_priority_check CHECK (((priority >= 0) AND (priority <= 9))),
    CONSTRAINT job_tags_check CHECK ((cardinality(tags) <= 32)),
    CONSTRAINT job_timeout_ms_check CHECK (((timeout_ms >= 1) AND (timeout_ms <= 604800000)))
);

CREATE TABLE troupe.job_5000001 (
    id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    run_at timestamp with time zone,
    parent bigint,
    timeout_ms bigint,
    priority smallint DEFAULT 0 NOT NULL,
    max_attempts smallint DEFAULT 20 NOT NULL,
    queue text NOT NULL,
    kind text NOT NULL,
    args jsonb DEFAULT '{}'::jsonb NOT NULL,
    tags text[],
    meta jsonb,
    limit_key text COLLATE pg_catalog."C",
    retry jsonb,
    CONSTRAINT job_args_check CHECK ((pg_column_size(args) <= 8388608)),
    CONSTRAINT job_kind_check CHECK (((octet_length(kind) >= 1) AND (octet_length(kind) <= 128))),
    CONSTRAINT job_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 1000))),
    CONSTRAINT job_priority_check CHECK (((priority >= 0) AND (priority <= 9))),
    CONSTRAINT job_tags_check CHECK ((cardinality(tags) <= 32)),
    CONSTRAINT job_timeout_ms_check CHECK (((timeout_ms >= 1) AND (timeout_ms <= 604800000)))
);

ALTER TABLE troupe.job ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME troupe.job_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE troupe.job_log (
    job_id bigint NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    attempt smallint NOT NULL,
    level smallint NOT NULL,
    line text NOT NULL,
    CONSTRAINT job_log_level_check CHECK (((level >= 1) AND (level <= 4))),
    CONSTRAINT job_log_line_check CHECK ((octet_length(line) <= 8192))
)
PARTITION BY RANGE (job_id);

CREATE TABLE troupe.job_log_1 (
    job_id bigint NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    attempt smallint NOT NULL,
    level smallint NOT NULL,
    line text NOT NULL,
    CONSTRAINT job_log_level_check CHECK (((level >= 1) AND (level <= 4))),
    CONSTRAINT job_log_line_check CHECK ((octet_length(line) <= 8192))
);

CREATE TABLE troupe.job_log_5000001 (
    job_id bigint NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    attempt smallint NOT NULL,
    level smallint NOT NULL,
    line text NOT NULL,
    CONSTRAINT job_log_level_check CHECK (((level >= 1) AND (level <= 4))),
    CONSTRAINT job_log_line_check CHECK ((octet_length(line) <= 8192))
);

CREATE TABLE troupe.job_log_rest (
    job_id bigint NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    attempt smallint NOT NULL,
    level smallint NOT NULL,
    line text NOT NULL,
    CONSTRAINT job_log_level_check CHECK (((level >= 1) AND (level <= 4))),
    CONSTRAINT job_log_line_check CHECK ((octet_length(line) <= 8192))
);

ALTER TABLE troupe.job_log ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME troupe.job_log_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE troupe.job_rest (
    id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    run_at timestamp with time zone,
    parent bigint,
    timeout_ms bigint,
    priority smallint DEFAULT 0 NOT NULL,
    max_attempts smallint DEFAULT 20 NOT NULL,
    queue text NOT NULL,
    kind text NOT NULL,
    args jsonb DEFAULT '{}'::jsonb NOT NULL,
    tags text[],
    meta jsonb,
    limit_key text COLLATE pg_catalog."C",
    retry jsonb,
    CONSTRAINT job_args_check CHECK ((pg_column_size(args) <= 8388608)),
    CONSTRAINT job_kind_check CHECK (((octet_length(kind) >= 1) AND (octet_length(kind) <= 128))),
    CONSTRAINT job_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 1000))),
    CONSTRAINT job_priority_check CHECK (((priority >= 0) AND (priority <= 9))),
    CONSTRAINT job_tags_check CHECK ((cardinality(tags) <= 32)),
    CONSTRAINT job_timeout_ms_check CHECK (((timeout_ms >= 1) AND (timeout_ms <= 604800000)))
);

CREATE VIEW troupe.jobs AS
 SELECT j.id,
    j.queue,
    j.kind,
    j.priority,
        CASE
            WHEN (d.job_id IS NOT NULL) THEN
            CASE d.reason
                WHEN 2 THEN 'retryable'::text
                ELSE 'scheduled'::text
            END
            WHEN ((a.outcome = ANY (ARRAY[1, 2, 3])) AND (NOT a.reopened)) THEN (ARRAY['completed'::text, 'cancelled'::text, 'discarded'::text])[a.outcome]
            WHEN ((j.id, ((COALESCE((a.attempt)::integer, 0) + 1))::smallint) IN ( SELECT u.i,
                u.n
               FROM troupe.lease l,
                LATERAL UNNEST(l.jobs, l.attempts) u(i, n))) THEN 'running'::text
            ELSE 'available'::text
        END AS state,
    j.args,
    COALESCE(a.attempt, (0)::smallint) AS attempt,
    j.max_attempts,
    j.timeout_ms,
    j.tags,
    COALESCE(d.due_at, j.run_at, j.created_at) AS run_at,
    j.created_at,
    j.parent,
    a.finished_at,
    a.result,
    a.error,
    j.limit_key,
    j.retry,
    (j.meta ->> 'traceparent'::text) AS traceparent
   FROM ((troupe.job j
     LEFT JOIN troupe.deferred d ON ((d.job_id = j.id)))
     LEFT JOIN LATERAL ( SELECT t.job_id,
            t.started_at,
            t.finished_at,
            t.node,
            t.attempt,
            t.outcome,
            t.reopened,
            t.result,
            t.error
           FROM troupe.attempt t
          WHERE (t.job_id = j.id)
          ORDER BY t.attempt DESC
         LIMIT 1) a ON (true));

CREATE TABLE troupe.key_batch (
    lease bigint NOT NULL,
    node bigint NOT NULL,
    queue text NOT NULL,
    taken_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    names text[] NOT NULL COLLATE pg_catalog."C",
    counts integer[] NOT NULL,
    jobs bigint[] NOT NULL,
    keys text[] NOT NULL COLLATE pg_catalog."C"
);
ALTER TABLE ONLY troupe.key_batch ALTER COLUMN names SET STORAGE EXTERNAL;
ALTER TABLE ONLY troupe.key_batch ALTER COLUMN counts SET STORAGE EXTERNAL;
ALTER TABLE ONLY troupe.key_batch ALTER COLUMN jobs SET STORAGE EXTERNAL;
ALTER TABLE ONLY troupe.key_batch ALTER COLUMN keys SET STORAGE EXTERNAL;

ALTER TABLE troupe.key_end ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME troupe.key_end_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE troupe.key_pace (
    rate_at timestamp with time zone NOT NULL,
    queue text NOT NULL,
    limit_key text NOT NULL COLLATE pg_catalog."C",
    generation integer DEFAULT 0 NOT NULL
)
WITH (fillfactor='70');

CREATE TABLE troupe.key_run (
    lease bigint NOT NULL,
    node bigint NOT NULL,
    queue text NOT NULL,
    limit_key text NOT NULL COLLATE pg_catalog."C",
    jobs bigint[] NOT NULL,
    generation integer DEFAULT 0 NOT NULL
)
WITH (fillfactor='70');

CREATE VIEW troupe.key_runs AS
 SELECT key_run.lease,
    key_run.node,
    key_run.queue,
    key_run.limit_key,
    key_run.jobs
   FROM troupe.key_run
UNION ALL
 SELECT b.lease,
    b.node,
    b.queue,
    u.k AS limit_key,
    array_agg(u.i) AS jobs
   FROM (troupe.key_batch b
     CROSS JOIN LATERAL UNNEST(b.jobs, b.keys) u(i, k))
  WHERE (u.k IS NOT NULL)
  GROUP BY b.lease, b.node, b.queue, u.k;

CREATE TABLE troupe.key_turn (
    due_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    turn bigint NOT NULL,
    queue text NOT NULL,
    limit_key text NOT NULL COLLATE pg_catalog."C",
    generation integer DEFAULT 0 NOT NULL
);

ALTER TABLE troupe.key_turn ALTER COLUMN turn ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME troupe.key_turn_turn_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE troupe.known_lane (
    id integer NOT NULL,
    priority smallint NOT NULL,
    shard smallint NOT NULL,
    queue text NOT NULL
);

CREATE TABLE troupe.lane (
    xact xid8 DEFAULT '0'::xid8 NOT NULL,
    seq bigint DEFAULT 0 NOT NULL,
    late_xact xid8 DEFAULT '0'::xid8 NOT NULL,
    late_seq bigint DEFAULT 0 NOT NULL,
    served_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    taken bigint DEFAULT 0 NOT NULL,
    id integer NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    shard smallint DEFAULT 0 NOT NULL,
    queue text NOT NULL,
    open xid8[] DEFAULT '{}'::xid8[] NOT NULL,
    draining xid8[] DEFAULT '{}'::xid8[] NOT NULL,
    part smallint DEFAULT 0 NOT NULL,
    late_part smallint DEFAULT 0 NOT NULL,
    moves bigint DEFAULT 0 NOT NULL,
    era bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE troupe.lane ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME troupe.lane_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW troupe.lane_now AS
 SELECT k.id,
    k.queue,
    k.priority,
    k.shard,
    l.xact,
    l.seq,
    l.part,
    l.late_xact,
    l.late_seq,
    l.late_part,
    l.open,
    l.draining,
    l.served_at,
    l.taken,
    l.era
   FROM (troupe.known_lane k
     CROSS JOIN LATERAL ( SELECT x.xact,
            x.seq,
            x.late_xact,
            x.late_seq,
            x.served_at,
            x.taken,
            x.id,
            x.priority,
            x.shard,
            x.queue,
            x.open,
            x.draining,
            x.part,
            x.late_part,
            x.moves,
            x.era
           FROM troupe.lane x
          WHERE (x.id = k.id)
          ORDER BY x.era DESC
         LIMIT 1) l);

ALTER TABLE troupe.lease ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME troupe.lease_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE troupe.log_draft (
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    id bigint NOT NULL,
    lease bigint NOT NULL,
    job_id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    attempt smallint NOT NULL,
    level smallint NOT NULL,
    line text NOT NULL,
    CONSTRAINT log_draft_level_check CHECK (((level >= 1) AND (level <= 4))),
    CONSTRAINT log_draft_line_check CHECK ((octet_length(line) <= 8192))
);

ALTER TABLE troupe.log_draft ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME troupe.log_draft_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE troupe.node (
    id bigint NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    heartbeat_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    name text NOT NULL,
    tells_starts boolean DEFAULT false NOT NULL,
    skips text[] DEFAULT '{}'::text[] NOT NULL,
    serves text[],
    kinds text[],
    slots integer,
    slot_queues text[] DEFAULT '{}'::text[] NOT NULL,
    queue_slots integer[] DEFAULT '{}'::integer[] NOT NULL,
    version text,
    patience interval DEFAULT '00:00:00'::interval NOT NULL,
    session bytea,
    token bigint,
    wanted text,
    CONSTRAINT node_check CHECK ((cardinality(slot_queues) = cardinality(queue_slots))),
    CONSTRAINT node_name_check CHECK ((name ~ '^[A-Za-z0-9._:-]{1,128}$'::text)),
    CONSTRAINT node_patience_check CHECK ((patience >= '00:00:00'::interval)),
    CONSTRAINT node_session_check CHECK ((octet_length(session) = 32)),
    CONSTRAINT node_slots_check CHECK ((slots >= 0)),
    CONSTRAINT node_version_check CHECK (((octet_length(version) >= 1) AND (octet_length(version) <= 128))),
    CONSTRAINT node_wanted_check CHECK ((wanted = ANY (ARRAY['quiet'::text, 'terminate'::text])))
)
WITH (fillfactor='50');

ALTER TABLE troupe.node ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME troupe.node_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE troupe.page (
    crawl bigint NOT NULL,
    job_id bigint NOT NULL,
    depth integer NOT NULL,
    url text NOT NULL,
    CONSTRAINT page_url_check CHECK ((octet_length(url) <= 2048))
);

CREATE TABLE troupe.parked (
    job_id bigint NOT NULL,
    attempt smallint NOT NULL,
    priority smallint NOT NULL,
    queue text NOT NULL,
    limit_key text NOT NULL COLLATE pg_catalog."C",
    generation integer DEFAULT 0 NOT NULL
);

CREATE TABLE troupe.partition (
    what text NOT NULL,
    low bigint NOT NULL,
    high bigint NOT NULL,
    sealed boolean DEFAULT false NOT NULL,
    look_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    looked_to bigint,
    looked_jobs bigint DEFAULT 0 NOT NULL,
    CONSTRAINT partition_check CHECK ((high > low)),
    CONSTRAINT partition_what_check CHECK ((what = ANY (ARRAY['jobs'::text, 'entries'::text])))
);

CREATE SEQUENCE troupe.permit_change
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE troupe.permit (
    node bigint NOT NULL,
    changed bigint DEFAULT nextval('troupe.permit_change'::regclass) NOT NULL,
    wanted_at timestamp with time zone,
    permits integer NOT NULL,
    queue text NOT NULL,
    CONSTRAINT permit_permits_check CHECK ((permits >= 0))
)
WITH (fillfactor='50');

CREATE TABLE troupe.progress (
    job_id bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    percent double precision,
    attempt smallint NOT NULL,
    message text DEFAULT ''::text NOT NULL,
    CONSTRAINT progress_message_check CHECK ((octet_length(message) <= 1000)),
    CONSTRAINT progress_percent_check CHECK (((percent >= (0)::double precision) AND (percent <= (100)::double precision)))
)
PARTITION BY RANGE (job_id);

CREATE TABLE troupe.progress_1 (
    job_id bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    percent double precision,
    attempt smallint NOT NULL,
    message text DEFAULT ''::text NOT NULL,
    CONSTRAINT progress_message_check CHECK ((octet_length(message) <= 1000)),
    CONSTRAINT progress_percent_check CHECK (((percent >= (0)::double precision) AND (percent <= (100)::double precision)))
);

CREATE TABLE troupe.progress_5000001 (
    job_id bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    percent double precision,
    attempt smallint NOT NULL,
    message text DEFAULT ''::text NOT NULL,
    CONSTRAINT progress_message_check CHECK ((octet_length(message) <= 1000)),
    CONSTRAINT progress_percent_check CHECK (((percent >= (0)::double precision) AND (percent <= (100)::double precision)))
);

CREATE TABLE troupe.progress_rest (
    job_id bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    percent double precision,
    attempt smallint NOT NULL,
    message text DEFAULT ''::text NOT NULL,
    CONSTRAINT progress_message_check CHECK ((octet_length(message) <= 1000)),
    CONSTRAINT progress_percent_check CHECK (((percent >= (0)::double precision) AND (percent <= (100)::double precision)))
);

CREATE TABLE troupe.put_off_at (
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    due_at timestamp with time zone NOT NULL
);

CREATE TABLE troupe.queue (
    paused_at timestamp with time zone,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    rate_at timestamp with time zone,
    version bigint DEFAULT 1 NOT NULL,
    concurrency integer,
    rate integer,
    rate_period_ms integer,
    rate_burst integer,
    name text NOT NULL,
    key_concurrency integer,
    key_rate integer,
    key_rate_period_ms integer,
    key_rate_burst integer,
    ordered boolean DEFAULT false NOT NULL,
    head_job bigint,
    head_lease bigint,
    others bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    max_waiting integer,
    CONSTRAINT queue_check CHECK ((rate <= ((1000)::bigint * rate_period_ms))),
    CONSTRAINT queue_check1 CHECK ((((rate IS NULL) = (rate_period_ms IS NULL)) AND ((rate IS NULL) = (rate_burst IS NULL)))),
    CONSTRAINT queue_check2 CHECK ((key_rate <= ((1000)::bigint * key_rate_period_ms))),
    CONSTRAINT queue_check3 CHECK ((((key_rate IS NULL) = (key_rate_period_ms IS NULL)) AND ((key_rate IS NULL) = (key_rate_burst IS NULL)))),
    CONSTRAINT queue_check4 CHECK (((NOT ordered) OR ((concurrency IS NULL) AND (key_concurrency IS NULL) AND (key_rate IS NULL)))),
    CONSTRAINT queue_concurrency_check CHECK (((concurrency >= 1) AND (concurrency <= 1000000))),
    CONSTRAINT queue_key_concurrency_check CHECK (((key_concurrency >= 1) AND (key_concurrency <= 1000000))),
    CONSTRAINT queue_key_rate_burst_check CHECK (((key_rate_burst >= 1) AND (key_rate_burst <= 1000000))),
    CONSTRAINT queue_key_rate_check CHECK (((key_rate >= 1) AND (key_rate <= 1000000))),
    CONSTRAINT queue_key_rate_period_ms_check CHECK (((key_rate_period_ms >= 1) AND (key_rate_period_ms <= 86400000))),
    CONSTRAINT queue_max_waiting_check CHECK (((max_waiting >= 1) AND (max_waiting <= 1000000000))),
    CONSTRAINT queue_name_check CHECK ((name ~ '^[A-Za-z0-9._:-]{1,128}$'::text)),
    CONSTRAINT queue_rate_burst_check CHECK (((rate_burst >= 1) AND (rate_burst <= 1000000))),
    CONSTRAINT queue_rate_check CHECK (((rate >= 1) AND (rate <= 1000000))),
    CONSTRAINT queue_rate_period_ms_check CHECK (((rate_period_ms >= 1) AND (rate_period_ms <= 86400000)))
)
WITH (fillfactor='50');

CREATE TABLE troupe.ready_1 (
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    seq bigint NOT NULL,
    job_id bigint NOT NULL,
    lane integer NOT NULL,
    attempt smallint DEFAULT 1 NOT NULL,
    jobs smallint DEFAULT 1 NOT NULL
);

CREATE TABLE troupe.ready_5000001 (
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    seq bigint NOT NULL,
    job_id bigint NOT NULL,
    lane integer NOT NULL,
    attempt smallint DEFAULT 1 NOT NULL,
    jobs smallint DEFAULT 1 NOT NULL
);

CREATE TABLE troupe.ready_rest (
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    seq bigint NOT NULL,
    job_id bigint NOT NULL,
    lane integer NOT NULL,
    attempt smallint DEFAULT 1 NOT NULL,
    jobs smallint DEFAULT 1 NOT NULL
);

ALTER TABLE troupe.ready ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME troupe.ready_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE troupe.retention (
    completed interval,
    cancelled interval,
    discarded interval,
    queue text NOT NULL,
    CONSTRAINT retention_cancelled_check CHECK (((cancelled >= '00:00:00'::interval) AND (cancelled <= '3650 days'::interval))),
    CONSTRAINT retention_completed_check CHECK (((completed >= '00:00:00'::interval) AND (completed <= '3650 days'::interval))),
    CONSTRAINT retention_discarded_check CHECK (((discarded >= '00:00:00'::interval) AND (discarded <= '3650 days'::interval))),
    CONSTRAINT retention_queue_check CHECK (((queue = ''::text) OR (queue ~ '^[A-Za-z0-9._:-]{1,128}$'::text)))
);

CREATE TABLE troupe.revoked (
    job_id bigint NOT NULL,
    xact xid8 DEFAULT GREATEST(pg_current_xact_id(), pg_snapshot_xmax(pg_current_snapshot())) NOT NULL,
    attempt smallint NOT NULL,
    priority smallint NOT NULL,
    queue text NOT NULL
);

CREATE TABLE troupe.schema_version (
    version integer NOT NULL,
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE troupe.straggler (
    job_id bigint NOT NULL,
    alive boolean NOT NULL
);

CREATE TABLE troupe.tally (
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    jobs bigint NOT NULL,
    state smallint NOT NULL,
    queue text NOT NULL
);

CREATE TABLE troupe.tally_base (
    xact xid8 DEFAULT '0'::xid8 NOT NULL,
    jobs bigint DEFAULT 0 NOT NULL,
    completed bigint DEFAULT 0 NOT NULL,
    cancelled bigint DEFAULT 0 NOT NULL,
    discarded bigint DEFAULT 0 NOT NULL,
    retryable bigint DEFAULT 0 NOT NULL,
    scheduled bigint DEFAULT 0 NOT NULL,
    queue text NOT NULL,
    open xid8[] DEFAULT '{}'::xid8[] NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE troupe.token ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME troupe.token_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE troupe.touched (
    job_id bigint NOT NULL
);

CREATE TABLE troupe.unique_job (
    job_id bigint NOT NULL,
    ends_at timestamp with time zone,
    digest bytea NOT NULL,
    states text[],
    rule jsonb
);

CREATE TABLE troupe.unique_key (
    job_id bigint NOT NULL,
    digest bytea NOT NULL
)
WITH (fillfactor='70');

ALTER TABLE ONLY troupe.attempt ATTACH PARTITION troupe.attempt_1 FOR VALUES FROM ('1') TO ('5000001');

ALTER TABLE ONLY troupe.attempt ATTACH PARTITION troupe.attempt_5000001 FOR VALUES FROM ('5000001') TO ('10000001');

ALTER TABLE ONLY troupe.attempt ATTACH PARTITION troupe.attempt_rest DEFAULT;

ALTER TABLE ONLY troupe.job ATTACH PARTITION troupe.job_1 FOR VALUES FROM ('1') TO ('5000001');

ALTER TABLE ONLY troupe.job ATTACH PARTITION troupe.job_5000001 FOR VALUES FROM ('5000001') TO ('10000001');

ALTER TABLE ONLY troupe.job_log ATTACH PARTITION troupe.job_log_1 FOR VALUES FROM ('1') TO ('5000001');

ALTER TABLE ONLY troupe.job_log ATTACH PARTITION troupe.job_log_5000001 FOR VALUES FROM ('5000001') TO ('10000001');

ALTER TABLE ONLY troupe.job_log ATTACH PARTITION troupe.job_log_rest DEFAULT;

ALTER TABLE ONLY troupe.job ATTACH PARTITION troupe.job_rest DEFAULT;

ALTER TABLE ONLY troupe.progress ATTACH PARTITION troupe.progress_1 FOR VALUES FROM ('1') TO ('5000001');

ALTER TABLE ONLY troupe.progress ATTACH PARTITION troupe.progress_5000001 FOR VALUES FROM ('5000001') TO ('10000001');

ALTER TABLE ONLY troupe.progress ATTACH PARTITION troupe.progress_rest DEFAULT;

ALTER TABLE ONLY troupe.ready ATTACH PARTITION troupe.ready_1 FOR VALUES FROM ('1') TO ('5000001');

ALTER TABLE ONLY troupe.ready ATTACH PARTITION troupe.ready_5000001 FOR VALUES FROM ('5000001') TO ('10000001');

ALTER TABLE ONLY troupe.ready ATTACH PARTITION troupe.ready_rest DEFAULT;

ALTER TABLE ONLY troupe.attempt
    ADD CONSTRAINT attempt_pkey PRIMARY KEY (job_id, attempt);

ALTER TABLE ONLY troupe.attempt_1
    ADD CONSTRAINT attempt_1_pkey PRIMARY KEY (job_id, attempt);

ALTER TABLE ONLY troupe.attempt_5000001
    ADD CONSTRAINT attempt_5000001_pkey PRIMARY KEY (job_id, attempt);

ALTER TABLE ONLY troupe.attempt_rest
    ADD CONSTRAINT attempt_rest_pkey PRIMARY KEY (job_id, attempt);

ALTER TABLE ONLY troupe.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY troupe.bulk_operation
    ADD CONSTRAINT bulk_operation_pkey PRIMARY KEY (id);

ALTER TABLE ONLY troupe.checkpoint
    ADD CONSTRAINT checkpoint_pkey PRIMARY KEY (what, nth);

ALTER TABLE ONLY troupe.crawl
    ADD CONSTRAINT crawl_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY troupe.deferred
    ADD CONSTRAINT deferred_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY troupe.expiry
    ADD CONSTRAINT expiry_pkey PRIMARY KEY (id);

ALTER TABLE ONLY troupe.export_chunk
    ADD CONSTRAINT export_chunk_pkey PRIMARY KEY (job_id, attempt, nth);

ALTER TABLE ONLY troupe.export
    ADD CONSTRAINT export_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY troupe.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (key);

ALTER TABLE ONLY troupe.item
    ADD CONSTRAINT item_pkey PRIMARY KEY (crawl, page);

ALTER TABLE ONLY troupe.job
    ADD CONSTRAINT job_pkey PRIMARY KEY (id);

ALTER TABLE ONLY troupe.job_1
    ADD CONSTRAINT job_1_pkey PRIMARY KEY (id);

ALTER TABLE ONLY troupe.job_5000001
    ADD CONSTRAINT job_5000001_pkey PRIMARY KEY (id);

ALTER TABLE troupe.job
    ADD CONSTRAINT job_limit_key_check CHECK (((octet_length(limit_key) >= 1) AND (octet_length(limit_key) <= 128))) NOT VALID;

ALTER TABLE ONLY troupe.job_log
    ADD CONSTRAINT job_log_pkey PRIMARY KEY (job_id, seq);

ALTER TABLE ONLY troupe.job_log_1
    ADD CONSTRAINT job_log_1_pkey PRIMARY KEY (job_id, seq);

ALTER TABLE ONLY troupe.job_log_5000001
    ADD CONSTRAINT job_log_5000001_pkey PRIMARY KEY (job_id, seq);

ALTER TABLE ONLY troupe.job_log_rest
    ADD CONSTRAINT job_log_rest_pkey PRIMARY KEY (job_id, seq);

ALTER TABLE ONLY troupe.job_rest
    ADD CONSTRAINT job_rest_pkey PRIMARY KEY (id);

ALTER TABLE ONLY troupe.key_batch
    ADD CONSTRAINT key_batch_pkey PRIMARY KEY (node, lease);

ALTER TABLE ONLY troupe.key_end
    ADD CONSTRAINT key_end_pkey PRIMARY KEY (queue, xact, id);

ALTER TABLE ONLY troupe.key_pace
    ADD CONSTRAINT key_pace_pkey PRIMARY KEY (queue, generation, limit_key);

ALTER TABLE ONLY troupe.key_run
    ADD CONSTRAINT key_run_pkey PRIMARY KEY (queue, generation, limit_key, lease);

ALTER TABLE ONLY troupe.key_state
    ADD CONSTRAINT key_state_pkey PRIMARY KEY (queue, era);

ALTER TABLE ONLY troupe.key_turn
    ADD CONSTRAINT key_turn_pkey PRIMARY KEY (queue, generation, due_at, turn);

ALTER TABLE ONLY troupe.known_lane
    ADD CONSTRAINT known_lane_pkey PRIMARY KEY (id);

ALTER TABLE ONLY troupe.known_lane
    ADD CONSTRAINT known_lane_queue_priority_shard_key UNIQUE (queue, priority, shard);

ALTER TABLE ONLY troupe.lane
    ADD CONSTRAINT lane_pkey PRIMARY KEY (id, era);

ALTER TABLE ONLY troupe.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (id);

ALTER TABLE ONLY troupe.log_draft
    ADD CONSTRAINT log_draft_pkey PRIMARY KEY (xact, id);

ALTER TABLE ONLY troupe.node
    ADD CONSTRAINT node_pkey PRIMARY KEY (id);

ALTER TABLE ONLY troupe.page
    ADD CONSTRAINT page_pkey PRIMARY KEY (crawl, url);

ALTER TABLE ONLY troupe.parked
    ADD CONSTRAINT parked_pkey PRIMARY KEY (queue, generation, limit_key, priority, job_id, attempt);

ALTER TABLE ONLY troupe.partition
    ADD CONSTRAINT partition_pkey PRIMARY KEY (what, low);

ALTER TABLE ONLY troupe.permit
    ADD CONSTRAINT permit_pkey PRIMARY KEY (queue, node);

ALTER TABLE ONLY troupe.progress
    ADD CONSTRAINT progress_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY troupe.progress_1
    ADD CONSTRAINT progress_1_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY troupe.progress_5000001
    ADD CONSTRAINT progress_5000001_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY troupe.progress_rest
    ADD CONSTRAINT progress_rest_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY troupe.queue
    ADD CONSTRAINT queue_pkey PRIMARY KEY (name);

ALTER TABLE ONLY troupe.ready
    ADD CONSTRAINT ready_pkey PRIMARY KEY (lane, xact, seq);

ALTER TABLE ONLY troupe.ready_1
    ADD CONSTRAINT ready_1_pkey PRIMARY KEY (lane, xact, seq);

ALTER TABLE ONLY troupe.ready_5000001
    ADD CONSTRAINT ready_5000001_pkey PRIMARY KEY (lane, xact, seq);

ALTER TABLE troupe.ready
    ADD CONSTRAINT ready_jobs_check CHECK ((jobs > 0)) NOT VALID;

ALTER TABLE ONLY troupe.ready_rest
    ADD CONSTRAINT ready_rest_pkey PRIMARY KEY (lane, xact, seq);

ALTER TABLE ONLY troupe.retention
    ADD CONSTRAINT retention_pkey PRIMARY KEY (queue);

ALTER TABLE ONLY troupe.revoked
    ADD CONSTRAINT revoked_pkey PRIMARY KEY (job_id, attempt);

ALTER TABLE ONLY troupe.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (version);

ALTER TABLE ONLY troupe.straggler
    ADD CONSTRAINT straggler_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY troupe.tally_base
    ADD CONSTRAINT tally_base_pkey PRIMARY KEY (queue);

ALTER TABLE ONLY troupe.token
    ADD CONSTRAINT token_hash_key UNIQUE (hash);

ALTER TABLE ONLY troupe.token
    ADD CONSTRAINT token_pkey PRIMARY KEY (id);

ALTER TABLE ONLY troupe.unique_job
    ADD CONSTRAINT unique_job_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY troupe.unique_key
    ADD CONSTRAINT unique_key_pkey PRIMARY KEY (digest);

CREATE INDEX attempt_unhappy ON ONLY troupe.attempt USING btree (outcome, job_id) WHERE ((outcome = ANY (ARRAY[2, 3])) AND (NOT reopened));

CREATE INDEX attempt_1_outcome_job_id_idx ON troupe.attempt_1 USING btree (outcome, job_id) WHERE ((outcome = ANY (ARRAY[2, 3])) AND (NOT reopened));

CREATE INDEX attempt_5000001_outcome_job_id_idx ON troupe.attempt_5000001 USING btree (outcome, job_id) WHERE ((outcome = ANY (ARRAY[2, 3])) AND (NOT reopened));

CREATE INDEX attempt_rest_outcome_job_id_idx ON troupe.attempt_rest USING btree (outcome, job_id) WHERE ((outcome = ANY (ARRAY[2, 3])) AND (NOT reopened));

CREATE INDEX bulk_operation_ended ON troupe.bulk_operation USING btree (ended_at) WHERE (state <> 'running'::text);

CREATE INDEX bulk_operation_running ON troupe.bulk_operation USING btree (stepped_at, id) WHERE (state = 'running'::text);

CREATE INDEX deferred_due ON troupe.deferred USING btree (due_at);

CREATE INDEX export_kept ON troupe.export USING btree (job_id) WHERE (NOT over);

CREATE INDEX idempotency_age ON troupe.idempotency USING btree (created_at);

CREATE INDEX key_batch_queue ON troupe.key_batch USING btree (queue, lease);

CREATE INDEX key_run_lease ON troupe.key_run USING btree (lease);

CREATE INDEX key_turn_due ON troupe.key_turn USING btree (queue, generation, limit_key) WHERE (due_at > '-infinity'::timestamp with time zone);

CREATE INDEX lane_queue ON troupe.lane USING btree (queue, priority, shard);

CREATE INDEX lease_xact ON troupe.lease USING btree (xact);

CREATE INDEX node_alive ON troupe.node USING btree (id) WHERE (ended_at IS NULL);

CREATE INDEX parked_job ON troupe.parked USING btree (job_id);

CREATE INDEX permit_node ON troupe.permit USING btree (node);

CREATE INDEX put_off_at_xact ON troupe.put_off_at USING btree (xact);

CREATE INDEX queue_bounded ON troupe.queue USING btree (name) WHERE (max_waiting IS NOT NULL);

CREATE INDEX tally_queue ON troupe.tally USING btree (queue, xact);

CREATE INDEX touched_job ON troupe.touched USING btree (job_id);

ALTER INDEX troupe.attempt_unhappy ATTACH PARTITION troupe.attempt_1_outcome_job_id_idx;

ALTER INDEX troupe.attempt_pkey ATTACH PARTITION troupe.attempt_1_pkey;

ALTER INDEX troupe.attempt_unhappy ATTACH PARTITION troupe.attempt_5000001_outcome_job_id_idx;

ALTER INDEX troupe.attempt_pkey ATTACH PARTITION troupe.attempt_5000001_pkey;

ALTER INDEX troupe.attempt_unhappy ATTACH PARTITION troupe.attempt_rest_outcome_job_id_idx;

ALTER INDEX troupe.attempt_pkey ATTACH PARTITION troupe.attempt_rest_pkey;

ALTER INDEX troupe.job_pkey ATTACH PARTITION troupe.job_1_pkey;

ALTER INDEX troupe.job_pkey ATTACH PARTITION troupe.job_5000001_pkey;

ALTER INDEX troupe.job_log_pkey ATTACH PARTITION troupe.job_log_1_pkey;

ALTER INDEX troupe.job_log_pkey ATTACH PARTITION troupe.job_log_5000001_pkey;

ALTER INDEX troupe.job_log_pkey ATTACH PARTITION troupe.job_log_rest_pkey;

ALTER INDEX troupe.job_pkey ATTACH PARTITION troupe.job_rest_pkey;

ALTER INDEX troupe.progress_pkey ATTACH PARTITION troupe.progress_1_pkey;

ALTER INDEX troupe.progress_pkey ATTACH PARTITION troupe.progress_5000001_pkey;

ALTER INDEX troupe.progress_pkey ATTACH PARTITION troupe.progress_rest_pkey;

ALTER INDEX troupe.ready_pkey ATTACH PARTITION troupe.ready_1_pkey;

ALTER INDEX troupe.ready_pkey ATTACH PARTITION troupe.ready_5000001_pkey;

ALTER INDEX troupe.ready_pkey ATTACH PARTITION troupe.ready_rest_pkey;

CREATE TRIGGER drop_permits AFTER UPDATE OF ended_at ON troupe.node FOR EACH ROW WHEN (((old.ended_at IS NULL) AND (new.ended_at IS NOT NULL))) EXECUTE FUNCTION troupe.drop_permits();

CREATE TRIGGER drop_reports AFTER DELETE ON troupe.job FOR EACH ROW EXECUTE FUNCTION troupe.drop_reports();

CREATE TRIGGER free_keys AFTER UPDATE OF ended_at ON troupe.node FOR EACH ROW WHEN (((old.ended_at IS NULL) AND (new.ended_at IS NOT NULL))) EXECUTE FUNCTION troupe.free_keys_of_node();

CREATE TRIGGER know_lanes AFTER INSERT ON troupe.lane REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION troupe.know_lanes();

CREATE TRIGGER note_reopened AFTER UPDATE OF reopened ON troupe.attempt FOR EACH ROW WHEN ((new.reopened AND (NOT old.reopened))) EXECUTE FUNCTION troupe.note_touched('job_id');

CREATE CONSTRAINT TRIGGER number_drafts AFTER INSERT ON troupe.log_draft DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION troupe.number_drafts();

CREATE TRIGGER tell_changed AFTER UPDATE ON troupe.deferred REFERENCING OLD TABLE AS gone NEW TABLE AS come FOR EACH STATEMENT EXECUTE FUNCTION troupe.tell_deferred();

CREATE TRIGGER tell_come AFTER INSERT ON troupe.deferred REFERENCING NEW TABLE AS come FOR EACH STATEMENT EXECUTE FUNCTION troupe.tell_deferred();

CREATE TRIGGER tell_deleted AFTER DELETE ON troupe.job REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION troupe.tell_deleted();

CREATE TRIGGER tell_gone AFTER DELETE ON troupe.deferred REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION troupe.tell_deferred();

CREATE TRIGGER tell_moved AFTER UPDATE ON troupe.job REFERENCING OLD TABLE AS was NEW TABLE AS is_now FOR EACH STATEMENT EXECUTE FUNCTION troupe.tell_moved();

CREATE TRIGGER tell_of_cancels AFTER INSERT ON troupe.revoked REFERENCING NEW TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION troupe.tell_of_cancels();

CREATE TRIGGER tell_of_lanes AFTER INSERT ON troupe.lane REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION troupe.tell_of_lanes();

CREATE TRIGGER tell_of_permits AFTER UPDATE OF permits ON troupe.permit FOR EACH ROW WHEN ((new.permits < old.permits)) EXECUTE FUNCTION troupe.tell_of_permits();

CREATE TRIGGER tell_of_queue AFTER INSERT OR UPDATE OF version ON troupe.queue FOR EACH ROW EXECUTE FUNCTION troupe.tell_of_queue();

CREATE TRIGGER tell_reopened AFTER UPDATE ON troupe.attempt REFERENCING OLD TABLE AS was NEW TABLE AS is_now FOR EACH STATEMENT EXECUTE FUNCTION troupe.tell_reopened();

ALTER TABLE ONLY troupe.lease
    ADD CONSTRAINT lease_node_fkey FOREIGN KEY (node) REFERENCES troupe.node(id);

