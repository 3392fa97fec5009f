-- Who the nodes are and what each of them runs; on which node a job of a list runs and since when; and changes of
-- queues that are made only if nobody has made another one meanwhile.

-- -- nodes -----------------------------------------------------------------------------------------

-- What a node says of itself when it joins; null: it did not (a worker by SQL, or a node of an older version).
-- `slots` are those of every queue that `slot_queues` does not name.
alter table troupe.node
  add column slots int check (slots >= 0),
  add column slot_queues text[] not null default '{}',
  add column queue_slots int[] not null default '{}',
  add column version text check (octet_length(version) between 1 and 128),
  add check (cardinality(slot_queues) = cardinality(queue_slots));

-- Lives of nodes, newest first: the newest of a name, or those of a state below an id; without a state those that
-- have not ended. -1 slots: not told. What runs is what is handed out, as in troupe.running.
create function troupe.list_nodes(p_name text, p_state text, p_before bigint, p_limit int, p_late_ms double precision)
returns table (id bigint, name text, state text, version text, started_at timestamptz, heartbeat_at timestamptz,
               ended_at timestamptz, slots int, kinds text[], queues text[], queue_slots int[], running bigint[])
language plpgsql stable set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
  set jit = off as $$
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
                                           when n.heartbeat_at < late then 'silent' else 'alive' end)
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
              else 'alive' end,
         n.version, n.started_at, nullif(n.heartbeat_at, '-infinity'), n.ended_at, n.slots, n.kinds,
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

-- -- pages of jobs ---------------------------------------------------------------------------------

-- A node is looked up for a job that runs only: a page without one costs what it did.
select troupe.edit_function('jobs_of', 'limit_key text)', 'limit_key text, node text, taken_at timestamp with time zone)');
select troupe.edit_function('jobs_of', 'j.created_at, j.limit_key
    from',
  'j.created_at, j.limit_key,
         case when r.i is not null then (select n.name from troupe.node n where n.id = r.node) end, r.taken_at
    from');
select troupe.edit_function('jobs_of', 'select u.i, u.n from troupe.lease l,',
  'select u.i, u.n, l.node, l.taken_at from troupe.lease l,');
select troupe.edit_function('list_jobs', 'limit_key text)', 'limit_key text, node text, taken_at timestamp with time zone)');
select troupe.edit_function('list_jobs', 'j.created_at, j.limit_key
    from',
  'j.created_at, j.limit_key,
         case when r.i is not null then (select n.name from troupe.node n where n.id = r.node) end, r.taken_at
    from');
select troupe.edit_function('list_jobs', 'select u.i, u.n from troupe.lease l, unnest(l.jobs, l.attempts) u(i, n)
       where u.i >= low',
  'select u.i, u.n, l.node, l.taken_at from troupe.lease l, unnest(l.jobs, l.attempts) u(i, n)
       where u.i >= low');

-- -- changes of queues -----------------------------------------------------------------------------

-- Holds the queue's settings to the end of the transaction, if their version is one of these (null: any): who
-- changes them otherwise comes before this or after it. Claims of the queue wait, as they do while it is paused.
create function troupe.expect_queue(p_queue text, p_versions bigint[]) returns void
language plpgsql set enable_seqscan = off set jit = off set lock_timeout = '2s' as $$
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

-- -- requests with many keys -----------------------------------------------------------------------

-- By a hash: a request whose jobs are told apart has as many keys as jobs.
select troupe.edit_function('open_requests', 'when u.k = any (firsts) then 1',
  'when u.k in (select f from unnest(firsts) f) then 1');
