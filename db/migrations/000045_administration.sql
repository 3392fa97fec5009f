-- What an operator asks of nodes and of what is kept: a node that is drained, and a trace of what was dropped.

-- -- nodes that are drained -------------------------------------------------------------------------

-- `wanted` is of any node now: whatever claims for one that is asked to be quiet gets nothing, a worker by SQL too.
-- Claims hold the node's row to their end, so from this commit on it is handed out nothing more: what it runs is seen
-- by whoever looks then, and its drain is over when that is nothing. All lives of the name that go on are meant, the
-- newest of which is answered. False ends it, but not for a worker that was asked to end.
create function troupe.drain_node(p_name text, p_drain boolean) returns bigint
language plpgsql set enable_seqscan = off set jit = off set lock_timeout = '1s' as $$
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

select troupe.edit_function('take', $old$
declare
  candidate record;
$old$, $new$
declare
  wish text;
  candidate record;
$new$);
select troupe.edit_function('take', $old$
  perform from troupe.node n where n.id = p_node and n.ended_at is null for key share;
  if not found then
    raise exception 'node % is not alive', p_node using errcode = 'TR410';
  end if;
$old$, $new$
  select n.wanted into wish from troupe.node n where n.id = p_node and n.ended_at is null for key share;
  if not found then
    raise exception 'node % is not alive', p_node using errcode = 'TR410';
  elsif wish is not null then
    return;
  end if;
$new$);
select troupe.edit_function('enqueue_here',
  'where n.id = p_node and n.ended_at is null for key share skip locked',
  'where n.id = p_node and n.ended_at is null and n.wanted is null for key share skip locked');

select troupe.edit_function('beat', 'caps integer[])', 'caps integer[], draining boolean)');
select troupe.edit_function('beat', 'returning old.heartbeat_at)', 'returning old.heartbeat_at, n.wanted)');
select troupe.edit_function('beat', 'array(select s.most from share s order by s.queue) as caps;',
  'array(select s.most from share s order by s.queue) as caps,
         coalesce((select m.wanted is not null from mine m), false) as draining;');

select troupe.edit_function('list_nodes', $old$when n.heartbeat_at < late then 'silent' else 'alive' end)$old$,
  $new$when n.heartbeat_at < late then 'silent'
                                           when n.wanted is not null then 'draining' else 'alive' end)$new$);
select troupe.edit_function('list_nodes', $old$
              when n.heartbeat_at < late then 'silent'
              else 'alive' end,$old$, $new$
              when n.heartbeat_at < late then 'silent'
              when n.wanted is not null then 'draining'
              else 'alive' end,$new$);

-- One that drains runs no further job.
select troupe.edit_function('why', $old$
   where n.ended_at is null and why.queue <> all (n.skips)
$old$, $new$
   where n.ended_at is null and n.wanted is null and why.queue <> all (n.skips)
$new$);

-- -- what is kept for how long ----------------------------------------------------------------------

-- Null: for ever. Of audit entries there are no more than a million, of the newest.
create function troupe.kept_for(p_what text) returns interval language sql immutable as $$
  select case p_what when 'audit' then interval '90 days'
                     when 'bulk_operations' then interval '7 days'
                     when 'idempotency_keys' then interval '24 hours'
                     when 'tokens' then interval '90 days' end; -- once dead
$$;
select troupe.edit_function('forget_audit', $$interval '90 days'$$, $$troupe.kept_for('audit')$$);
select troupe.edit_function('bulk', $$interval '7 days'$$, $$troupe.kept_for('bulk_operations')$$);
select troupe.edit_function('forget_keys', $$interval '24 hours'$$, $$troupe.kept_for('idempotency_keys')$$);
select troupe.edit_function('create_token', $$interval '90 days'$$, $$troupe.kept_for('tokens')$$);

-- The last hundred times that jobs were dropped past their ages: of which ids, how many, and how many were moved.
create table troupe.expiry (
  id      bigint primary key generated always as identity,
  at      timestamptz not null default clock_timestamp(),
  low     bigint not null,
  high    bigint not null,
  dropped bigint not null,
  kept    bigint not null
);
select troupe.edit_function('expire_jobs', $old$
    dropped := case when step in ('moved', 'dropped') then part.looked_jobs - kept else 0 end;
$old$, $new$
    if step in ('moved', 'dropped') then
      dropped := part.looked_jobs - kept;
      insert into troupe.expiry as e (low, high, dropped, kept) values (part.low, part.high, dropped, kept);
      delete from troupe.expiry e where e.id <= (select max(x.id) from troupe.expiry x) - 100;
    end if;
$new$);

-- How long jobs are kept, by queue, up to p_most of these; how far their cleaning has come; and how long all else is.
-- Ages in milliseconds, -1: for ever. Of the arrays things_oldest says nothing where things_known is false.
create function troupe.retention_now(
  p_most int, out queues text[], out completed bigint[], out cancelled bigint[], out discarded bigint[],
  out more_queues boolean, out oldest_job timestamptz, out partitions int, out looked_low bigint,
  out looked_high bigint, out looked_to bigint, out next_look timestamptz, out expired_at timestamptz,
  out expired_low bigint, out expired_high bigint, out expired_jobs bigint, out expired_kept bigint,
  out things text[], out things_ms bigint[], out things_known boolean[],
  out things_oldest timestamptz[])
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
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
