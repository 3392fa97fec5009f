-- The SQL contract: what programs may call in their own transactions, in any language. docs/sql.md has
-- every function of it; its errors are TR400, TR404, TR409 and TR410.

-- One job; its id, or with unique_by and on_conflict `existing` or `replace` the id of the one that is
-- there. troupe.enqueue_many stores many of them with less.
create function troupe.enqueue(
  kind text, args jsonb default '{}', queue text default 'default', priority int default 0,
  max_attempts int default 20, timeout_ms bigint default null, tags text[] default null,
  run_at timestamptz default null, delay_ms bigint default null, unique_by jsonb default null,
  limit_key text default null)
returns bigint language plpgsql as $$
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
begin
  if fault is not null then
    raise exception '%', fault using errcode = 'TR400';
  end if;
  if unique_by is null then
    return (troupe.enqueue_many(kinds, queues, all_args, priorities, attempts, timeouts, tag_lists,
                                times, delays, limit_keys))[1];
  end if;
  return (select e.ids[1]
            from troupe.enqueue_keyed(kinds, queues, all_args, priorities, attempts, timeouts, tag_lists,
                                      times, delays, array[unique_by], p_limit_keys => limit_keys) e);
end $$;

-- -- workers ---------------------------------------------------------------------------------------

-- Begins the life of a worker. It claims for as long as it sends heartbeats.
create function troupe.join_node(name text) returns bigint language plpgsql as $$
begin
  if (name ~ '^[A-Za-z0-9._:-]{1,128}$') is not true then
    raise exception 'name must be 1 to 128 of A-Z a-z 0-9 . _ : -' using errcode = 'TR400';
  end if;
  perform troupe.rebase_lanes(); -- in case this database was restored from a dump
  return troupe.add_node(name);
end $$;

create function troupe.add_node(p_name text) returns bigint language sql as $$
  insert into troupe.node (name) values (p_name) returning id;
$$;

-- To be called every second, outside of the transactions that jobs run in. Not alive: the worker was
-- silent for too long and its jobs are others'; it has to join anew. cancelled: jobs of this worker
-- whose outcome is written already.
create function troupe.heartbeat(node bigint, out alive boolean, out cancelled bigint[])
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  update troupe.node n set heartbeat_at = clock_timestamp()
   where n.id = heartbeat.node and n.ended_at is null;
  alive := found;
  cancelled := array(
    select v.job_id from troupe.revoked v
     where exists (select from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
                    where l.node = heartbeat.node and l.jobs @> array[v.job_id]
                      and u.i = v.job_id and u.a = v.attempt));
end $$;

-- Ends a worker's life. What it still holds is taken back by a node of the engine at once.
create function troupe.leave_node(node bigint) returns void language sql as $$
  update troupe.node n
     set ended_at = case when exists (select from troupe.lease l where l.node = n.id) then null
                         else now() end,
         heartbeat_at = '-infinity'
   where n.id = $1 and n.ended_at is null;
$$;

-- Writes how one run ended: completed, failed, discarded or snoozed. False: the worker had lost the
-- job, and nothing was written; what the transaction did for the job should be rolled back. retry_ms is
-- for failed and snoozed: how long until the next run. The lease goes with its last job.
create function troupe.finish(node bigint, lease bigint, job bigint, attempt int,
                              outcome text default 'completed', result jsonb default null,
                              error text default null, retry_ms bigint default null)
returns boolean language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  code constant smallint := case outcome when 'completed' then 1 when 'discarded' then 3
                                         when 'failed' then 4 when 'snoozed' then 6 end;
  -- Without a word about it, as long as a node of the engine would wait, but for chance.
  wait constant bigint := coalesce(retry_ms, least(21600000, 1000 * 2 ^ least(attempt - 1, 20)));
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
  if not found then
    return false;
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
end $$;
