-- Rate limits of queues: jobs handed out in a time, on all nodes together, by the database's clock.

-- rate jobs in rate_period_ms, of which rate_burst may come at once. rate_at is when the jobs handed out
-- so far would have been due, evenly spread: it runs ahead of the clock by what of the burst is used up.
alter table troupe.queue
  add column rate_at timestamptz,
  add column rate int check (rate between 1 and 1000000),
  add column rate_period_ms int check (rate_period_ms between 1 and 86400000),
  add column rate_burst int check (rate_burst between 1 and 1000000),
  add check (rate <= 1000::bigint * rate_period_ms),
  add check ((rate is null) = (rate_period_ms is null) and (rate is null) = (rate_burst is null));

-- All null: nothing limits it. What was used up of the old rate is forgotten with it.
create function troupe.rate_queue(p_queue text, p_rate int, p_period_ms int, p_burst int)
returns void language sql as $$
  insert into troupe.queue (name, rate, rate_period_ms, rate_burst)
  values (p_queue, p_rate, p_period_ms, p_burst)
  on conflict (name) do update
     set rate = p_rate, rate_period_ms = p_period_ms, rate_burst = p_burst, rate_at = null,
         changed_at = now(), version = queue.version + 1
   where (queue.rate, queue.rate_period_ms, queue.rate_burst)
         is distinct from (p_rate, p_period_ms, p_burst);
$$;

-- How long until a job of the queue may be handed out; null: it has no rate.
create function troupe.rate_wait_ms(p_queue text) returns bigint language sql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
  select greatest(0, ceil(coalesce(extract(epoch from q.rate_at - clock_timestamp()), 0) * 1000
                          - (q.rate_burst - 1) * q.rate_period_ms::numeric / q.rate)::bigint)
    from troupe.queue q where q.name = p_queue and q.rate is not null;
$$;

-- As before, and no more than the rate allows. What is allowed is to start at once, so nothing of such a
-- queue is claimed ahead. Of two claims one waits for the other at the queue's row.
alter function troupe.room_for(bigint, text, int, int, int) rename to permitted_room;
create function troupe.room_for(
  p_node bigint, p_queue text, p_limit int, p_slots int, p_held int,
  out room int, out most int, out have int)
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
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

alter function troupe.note_claimed(bigint, text, int, int, int, int, int) rename to note_permits;
create function troupe.note_claimed(
  p_node bigint, p_queue text, p_slots int, p_held int, p_got int, p_most int, p_have int,
  out permits int, out changed bigint)
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  update troupe.queue q
     set rate_at = greatest(q.rate_at, clock_timestamp())
                   + make_interval(secs => p_got * (q.rate_period_ms / 1000.0 / q.rate))
   where q.name = p_queue and q.rate is not null;
  select n.permits, n.changed into permits, changed
    from troupe.note_permits(p_node, p_queue, p_slots, p_held, p_got, p_most, p_have) n;
end $$;

-- Queues in order of their names, after one or only that of one name.
drop function troupe.list_queues(text, text, int, int);
create function troupe.list_queues(p_only text, p_after text, p_limit int, p_most int)
returns table (name text, paused_at timestamptz, concurrency int, version bigint, changed_at timestamptz,
               waiting bigint, running bigint, rate int, rate_period_ms int, rate_burst int)
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
         q.rate, q.rate_period_ms, q.rate_burst
    from known k left join troupe.queue q on q.name = k.name
   order by k.name;
end $$;

-- Heartbeat, and what happened meanwhile. Others are declared dead only when this node's own last beat
-- is fresh: after a stall of the database everybody looks dead for a moment. A node keeps at most caps
-- of the permits of capped: other nodes want some, or the limit was lowered. Queues whose rate is used up
-- are not named: whoever found that out has a timer.
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
         array(select v.job_id from troupe.revoked v
                where exists (select from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
                               where l.node = p_node and l.jobs @> array[v.job_id]
                                 and u.i = v.job_id and u.a = v.attempt)) as cancelled,
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
