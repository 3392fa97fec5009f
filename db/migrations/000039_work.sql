-- Workers by HTTP: a life in troupe.node, as of any node, begun with a secret that its requests show. They claim
-- as workers by SQL do and are fenced by the same leases; docs/work.md.

-- `patience` is how much longer than a node of the engine it may be silent: its heartbeats are written so much
-- ahead, so that whoever looks for the silent needs to know nothing of it. `session` is the SHA-256 of its secret,
-- `token` the one it joined with (null: none was asked for). Null session: no worker by HTTP.
alter table troupe.node
  add column patience interval not null default '0' check (patience >= '0'),
  add column session bytea check (octet_length(session) = 32),
  add column token bigint,
  add column wanted text check (wanted in ('quiet', 'terminate'));

select troupe.edit_function('list_nodes', 'nullif(n.heartbeat_at, ''-infinity'')',
  'nullif(n.heartbeat_at, ''-infinity'') - n.patience');

create function troupe.join_worker(
  p_name text, p_queues text[], p_kinds text[], p_slots int, p_version text, p_lease_ms int, p_session bytea,
  p_token bigint)
returns bigint language plpgsql volatile as $$
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

-- TR410 unless this is a life that goes on, with this secret, joined with this token.
create function troupe.check_worker(p_node bigint, p_session bytea, p_token bigint) returns void
language plpgsql volatile as $$
begin
  perform from troupe.node n
    where n.id = p_node and n.session = p_session and n.token is not distinct from p_token
      and n.ended_at is null and n.heartbeat_at > '-infinity';
  if not found then
    raise exception 'there is no such worker, or not any more: join anew' using errcode = 'TR410';
  end if;
end $$;

-- One batch of a queue; one row without a job when there is none, or the worker is to take no more. `wait_ms` and
-- `again` as in job_claim.sql. All of it is one answer, so of many jobs those beyond 16 MiB of args go back.
create function troupe.claim_by_worker(
  p_node bigint, p_session bytea, p_token bigint, p_queue text, p_limit int)
returns table (lease bigint, job_id bigint, attempt smallint, max_attempts smallint, timeout_ms bigint, kind text,
               args jsonb, priority smallint, tags text[], limit_key text, created_at timestamptz, wait_ms bigint,
               again boolean)
language plpgsql volatile set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
  set jit = off as $$
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
    limit_key := c.limit_key; created_at := c.created_at; again := c.again;
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

-- How runs ended, each for itself; outcomes as troupe.write_outcomes has them. `fates` in the order given: 0 it is
-- written (or was, by this very call whose answer was lost), 1 the job is not this node's any more, 2 it was
-- cancelled. `next_ms`: what was put off is due in so long at the earliest. `steered`: queues that are limited or
-- ordered, where an end makes room.
create function troupe.end_runs(
  p_node bigint, p_leases bigint[], p_jobs bigint[], p_attempts smallint[], p_outcomes smallint[],
  p_results jsonb[], p_errors text[], p_waits_ms bigint[],
  out fates smallint[], out next_ms bigint, out steered text[])
returns record language plpgsql volatile
  set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
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

create function troupe.finish_by_worker(
  p_node bigint, p_session bytea, p_token bigint, p_leases bigint[], p_jobs bigint[], p_attempts smallint[],
  p_outcomes smallint[], p_results jsonb[], p_errors text[], p_waits_ms bigint[],
  out fates smallint[], out next_ms bigint, out steered text[])
returns record language plpgsql volatile as $$
begin
  perform troupe.check_worker(p_node, p_session, p_token);
  select e.fates, e.next_ms, e.steered into fates, next_ms, steered
    from troupe.end_runs(p_node, p_leases, p_jobs, p_attempts, p_outcomes, p_results, p_errors, p_waits_ms) e;
end $$;

-- Puts back what the node holds, as snoozed for no time: it costs the jobs nothing. Of leases older than an age,
-- and but for some jobs.
create function troupe.put_back(
  p_node bigint, p_older interval, p_but bigint[], out jobs bigint[], out next_ms bigint, out steered text[])
returns record language plpgsql volatile
  set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
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

-- `p_jobs` are those the worker runs; null: it does not say. `cancelled` of these have an outcome already, `lost`
-- are not its own any more, `put_back` are what it was handed out more than 10 s ago and does not know of: the
-- answer to that claim was lost on its way.
create function troupe.beat_of_worker(
  p_node bigint, p_session bytea, p_token bigint, p_jobs bigint[],
  out cancelled bigint[], out lost bigint[], out put_back bigint[], out next_ms bigint, out steered text[],
  out wanted text)
returns record language plpgsql volatile
  set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
  set jit = off as $$
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

-- Its life is over. What it held goes back at once.
create function troupe.leave_worker(
  p_node bigint, p_session bytea, p_token bigint, out jobs bigint[], out next_ms bigint, out steered text[])
returns record language plpgsql volatile
  set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  perform troupe.check_worker(p_node, p_session, p_token);
  perform from troupe.node n where n.id = p_node for update; -- after claims that are under way
  perform troupe.check_worker(p_node, p_session, p_token);
  select b.jobs, b.next_ms, b.steered into jobs, next_ms, steered
    from troupe.put_back(p_node, interval '0', '{}') b;
  update troupe.node n set ended_at = now(), heartbeat_at = '-infinity' where n.id = p_node;
end $$;

-- As troupe.record_reports, for what this worker holds only. Of one attempt 10,000 lines or 1 MiB are kept;
-- `dropped` counts further ones.
create function troupe.report_by_worker(
  p_node bigint, p_session bytea, p_token bigint,
  p_leases bigint[], p_jobs bigint[], p_attempts smallint[], p_percents double precision[], p_messages text[],
  l_leases bigint[], l_jobs bigint[], l_attempts smallint[], l_levels smallint[], l_agos_ms bigint[], l_lines text[],
  out fenced bigint[], out dropped bigint)
returns record language plpgsql volatile
  set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
  set jit = off as $$
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

-- `quiet`: it is given no more, and finishes what it has. `terminate`: it is told to give that back, too.
create function troupe.steer_worker(p_node bigint, p_wanted text) returns void
language plpgsql volatile as $$
begin
  update troupe.node n set wanted = case when n.wanted = 'terminate' then n.wanted else p_wanted end
   where n.id = p_node and n.session is not null and n.ended_at is null;
  if not found then
    raise exception 'there is no worker % that goes on', p_node using errcode = 'TR404';
  end if;
end $$;
