-- Jobs for a queue in which nothing waits are handed to the node that stores them in the same transaction:
-- one wait for the disk instead of two before their handlers start, and no entry in a lane.

-- As troupe.enqueue_many, for jobs of one queue. When nothing speaks against it they go to the node at
-- once, and each row has the lease; otherwise they are available as ever, and lease and args are null.
create function troupe.enqueue_here(
  p_node bigint, p_kinds text[], p_queues text[], p_args jsonb[], p_priorities smallint[],
  p_max_attempts smallint[], p_timeouts_ms bigint[], p_tags text[], p_limit_keys text[])
returns table (lease bigint, job_id bigint, args jsonb) language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  lease_id bigint;
  ids bigint[];
  free boolean := false;
begin
  perform from troupe.node n where n.id = p_node and n.ended_at is null for key share skip locked;
  -- The lock is the claim's; tried and not waited for: whoever stores jobs must not wait for a pause.
  if found and pg_try_advisory_xact_lock_shared(troupe.queue_lock(p_queues[1])) then
    -- After the lock, by a statement of its own: a pause or a limit is either seen or waits for us.
    -- Lanes there are from a queue's first job on.
    free := p_queues[1] = all (p_queues)
      and not exists (select from troupe.queue q
                       where q.name = p_queues[1]
                         and (q.paused_at is not null or q.concurrency is not null or q.rate is not null
                              or q.key_concurrency is not null or q.key_rate is not null))
      and not exists (select from unnest(p_priorities) u(p)
                       where not exists (select from troupe.lane l
                                          where l.queue = p_queues[1] and l.priority = u.p and l.shard = 3));
  end if;
  if not free then
    return query
      select null::bigint, u.i, null::jsonb
        from unnest(troupe.enqueue_many(p_kinds, p_queues, p_args, p_priorities, p_max_attempts,
                                        p_timeouts_ms, p_tags, null, null, p_limit_keys)) u(i);
    return;
  end if;
  ids := array(select nextval('troupe.job_id_seq') from generate_series(1, cardinality(p_kinds)));
  insert into troupe.lease (node, jobs, attempts)
  values (p_node, ids, array_fill(1::smallint, array[cardinality(ids)]))
  returning id into lease_id;
  return query
    with stored as (
      insert into troupe.job as j (id, queue, kind, args, priority, max_attempts, timeout_ms, tags, limit_key)
      select u.i, u.q, u.k, u.a, u.p, coalesce(u.m, 20), u.t, u.g::text[], u.lk
        from unnest(ids, p_kinds, p_queues, p_args, p_priorities, p_max_attempts, p_timeouts_ms, p_tags,
                    p_limit_keys)
             u(i, k, q, a, p, m, t, g, lk)
      returning j.id, j.args)
    select lease_id, s.id, s.args from stored s order by s.id;
end $$;
