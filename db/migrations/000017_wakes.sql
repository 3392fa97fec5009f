-- Nodes hear of what they have to do at once, not with their next heartbeat: by NOTIFY on the channel
-- "troupe". What is told is a hint and nothing more: who hears it looks, and who does not hear it looks
-- with his next heartbeat.
--
-- A commit that notifies takes a lock that all such commits of a server share, and holds it while it
-- waits for the disk. So an enqueue notifies only while some node sleeps on the queue, and finds that out
-- without touching a row: rows of sleepers would come and go with every nap, and every dead one of them
-- would be in the enqueues' way for as long as somebody's old snapshot needs it. Two advisory locks are
-- looked at in their place:
--
--   sleepers, one for each queue:    shared, by the session of a node that sleeps, while it sleeps.
--   writers, one for 1/256 of them:  shared, by a transaction that has enqueued, to its end.
--
-- A writer takes the lock of the writers, and then tries that of the sleepers, for no longer than the
-- try: who cannot get it notifies. A node takes the lock of the sleepers, then tries that of the writers
-- for no longer than the try, and then looks whether there is work. Each side says so before it looks, so
-- of a writer and a node that meet one sees the other:
--   - The writer saw no sleeper: it had the writers' lock before the node had the sleepers'. Then either
--     the node could not get the writers' lock, does not sleep yet, and tries again after a while; or the
--     writer has ended by then (a transaction is visible before its locks go), and the look, whose
--     snapshot is taken later, sees what it wrote.
--   - The writer saw a sleeper: it notifies, and that arrives after its commit.
-- This holds at each isolation level of the writer, since locks are no part of a snapshot. The lock of the
-- writers is shared by several queues so that a transaction that enqueues into thousands of them holds 256
-- locks at most; for the node that only means that it tries again more often.
-- A node that dies takes its locks with it. One that works all the time gives them back
-- (actors/notifier.hpp), so a busy system does not notify.

-- Tells the nodes. PostgreSQL refuses to prepare a transaction (two-phase commit) that has notified, and
-- nobody knows here what becomes of this one, so on a server that allows it nobody is told. Nor does an
-- enqueue fail because a listener that hangs has filled the server's queue of notifications.
create function troupe.tell(p_hint text) returns void language plpgsql as $$
begin
  if current_setting('max_prepared_transactions') = '0' and pg_notification_queue_usage() < 0.5 then
    perform pg_notify('troupe', p_hint);
  end if;
end $$;

create function troupe.sleep_lock(p_queue text) returns bigint language sql immutable as $$
  select hashtextextended('sleepers of ' || p_queue, 5);
$$;

-- Whether who enqueues there has to notify: the writer's side of the above. One expression, which nothing
-- interrupts: or the session would keep the sleepers' lock. Also when another one tries at this moment.
create function troupe.is_slept_on(p_queue text) returns boolean language sql as $$
  select case when pg_try_advisory_xact_lock_shared(72331735, hashtext(p_queue) & 255)
              then case when pg_try_advisory_lock(troupe.sleep_lock(p_queue))
                        then not pg_advisory_unlock(troupe.sleep_lock(p_queue)) else true end
              else true end;
$$;

-- Something that may run at once was put into these queues by this transaction: wakes who sleeps.
create function troupe.wake(p_queues text[]) returns void language plpgsql as $$
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

-- The same for jobs of which some wait for their time. Of one that is due before a heartbeat would tell
-- of it the schedulers are told, unless something is due earlier still: then they look anyway.
create function troupe.wake_for_deferred(p_queues text[], p_run_at timestamptz[], p_delays_ms bigint[])
returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
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

-- A listening session sleeps on these queues, looks again at those it sleeps on already, and is awake in
-- those of p_awake. How it is then: 0 it sleeps; 1 it sleeps, and has to look again, since a writer was in
-- its way; 2 there is work, so it does not sleep; 3 there is some that may not be handed out yet, so
-- neither.
create function troupe.sleep_on(p_queues text[], p_again text[], p_awake text[])
returns table (queue text, state smallint) language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
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
      select from troupe.lane l
       where l.queue = sleep_on.queue
         and (l.draining <> '{}'
              or exists (select from unnest(l.open) o where pg_visible_in_snapshot(o, pg_current_snapshot()))
              or exists (select from troupe.ready r
                          where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq)))) then
      state := 2;
      if exists (select from troupe.queue q
                  where q.name = sleep_on.queue
                    and (q.paused_at is not null
                         or q.rate_at is not null and troupe.rate_wait_ms(q.name) > 0)) then
        state := 3;
      end if;
      perform pg_advisory_unlock_shared(troupe.sleep_lock(queue));
    end if;
    return next;
  end loop;
end $$;

-- The queues whose idleness matters most, for a node that begins to listen.
create function troupe.recent_queues(p_limit int) returns text[] language sql stable as $$
  select coalesce(array_agg(x.queue), '{}') from (
    select l.queue from troupe.lane l group by l.queue order by max(l.served_at) desc, l.queue
     limit p_limit) x;
$$;

-- -- who tells ---------------------------------------------------------------------------------------

-- Whoever puts entries into lanes says where, with one line; the rest of these functions is as it was.
-- They are changed in place and not written anew, so that no other change of them is undone here.
do $$
declare
  edit record;
  before text;
  after text;
begin
  for edit in
    select * from (values
      ('enqueue_many', E'    return ids;\n',
       E'    if lanes is not null or troupe.is_slept_on(p_queues[1]) then\n'
       '      perform troupe.wake(p_queues);\n    end if;\n    return ids;\n'),
      ('enqueue_many', E'\n  return ids;\n',
       E'\n  perform troupe.wake_for_deferred(p_queues, p_run_at, p_delays_ms);\n  return ids;\n'),
      ('promote', E'\n  -- A statement of its own, to see',
       E'\n  perform troupe.wake(queues);\n  -- A statement of its own, to see'),
      ('retry', E'\n  return j.queue;\n', E'\n  perform troupe.wake(array[j.queue]);\n  return j.queue;\n'),
      ('rescue', E'\n  update troupe.node set ended_at',
       E'\n  perform troupe.wake(queues);\n  update troupe.node set ended_at'),
      ('queue_pages', E'\n  if made > 0 then\n',
       E'\n  if made > 0 then\n    perform troupe.wake(array[''scrape.pages'']);\n'),
      ('replace_job', E' values (lane_id, p_job, current);\n',
       E' values (lane_id, p_job, current);\n      perform troupe.wake(array[old.queue]);\n'),
      ('replace_job', E' values (lane_id, p_job, current + 1);\n',
       E' values (lane_id, p_job, current + 1);\n    perform troupe.wake(array[old.queue]);\n')
    ) v(name, old, new)
  loop
    select pg_get_functiondef(p.oid) into strict before
      from pg_proc p where p.pronamespace = 'troupe'::regnamespace and p.proname = edit.name;
    after := replace(before, edit.old, edit.new);
    if length(after) <> length(before) + length(edit.new) - length(edit.old) then
      raise exception 'troupe.% does not have this line once: %', edit.name, edit.old;
    end if;
    execute after;
  end loop;
end $$;

-- A queue's first job makes its lanes, and no node can sleep on a queue that it has never heard of.
create function troupe.tell_of_lanes() returns trigger language plpgsql as $$
begin
  perform troupe.tell('wake ' || q.queue) from (select distinct m.queue from made m) q;
  return null;
end $$;
create trigger tell_of_lanes after insert on troupe.lane
  referencing new table as made for each statement execute function troupe.tell_of_lanes();

-- What somebody has said of a queue is in every node's next heartbeat: now. What claims note in the row
-- does not touch its version.
create function troupe.tell_of_queue() returns trigger language plpgsql as $$
begin
  perform troupe.tell('beat');
  return null;
end $$;
create trigger tell_of_queue after insert or update of version on troupe.queue
  for each row execute function troupe.tell_of_queue();

-- A cancelled run is told to stop by the heartbeat of its node: now.
create function troupe.tell_of_cancels() returns trigger language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  perform troupe.tell('beat ' || x.node)
     from (select distinct a.node
             from gone g join troupe.attempt a on a.job_id = g.job_id and a.attempt = g.attempt
            where a.outcome = 2 and a.node is not null) x;
  return null;
end $$;
create trigger tell_of_cancels after insert on troupe.revoked
  referencing new table as gone for each statement execute function troupe.tell_of_cancels();

-- Permits that a node gives back while another one wants some.
create function troupe.tell_of_permits() returns trigger language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  if exists (select from troupe.permit p
              where p.queue = new.queue and p.node <> new.node
                and p.wanted_at > clock_timestamp() - interval '2.5 s') then
    perform troupe.tell('wake ' || new.queue);
  end if;
  return null;
end $$;
create trigger tell_of_permits after update of permits on troupe.permit
  for each row when (new.permits < old.permits) execute function troupe.tell_of_permits();
