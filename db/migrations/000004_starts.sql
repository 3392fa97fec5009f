-- Who is to blame when a node dies. A node holds many more jobs than it runs, so the jobs of a dead
-- one are innocent, all but one at most. The first loss is counted for all of them; from then on a
-- node of the engine says before it starts such a job, and a loss counts only for what had started.

-- This node says so. Who claims by SQL does not, and for it every loss counts.
alter table troupe.node add column tells_starts boolean not null default false;
-- Jobs of the batch that were lost before and have been started.
alter table troupe.lease add column started bigint[] not null default '{}';

-- How often in a row, right before this attempt, its node died while it held the job: 0, 1 or 2.
create function troupe.losses(p_job bigint, p_attempt smallint) returns smallint language plpgsql stable
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  if p_attempt < 2
     or not exists (select from troupe.attempt t
                     where t.job_id = p_job and t.attempt = p_attempt - 1 and t.outcome = 5) then
    return 0;
  end if;
  return 1 + (select count(*) from troupe.attempt t
               where t.job_id = p_job and t.attempt = p_attempt - 2 and t.outcome = 5);
end $$;

-- To be said, and committed, before a job starts that was lost before. False: the lease is gone.
create function troupe.start_run(p_node bigint, p_lease bigint, p_job bigint) returns boolean
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  update troupe.lease set started = started || p_job where id = p_lease and node = p_node;
  return found;
end $$;

-- Takes the jobs of a node away whose heartbeat is older than p_limit: outcome `lost`, next attempt
-- ready. The third loss in a row discards the job: it may be what kills the nodes. What was lost
-- before and had not started yet is no suspect: the same attempt is ready again.
create or replace function troupe.rescue(p_node bigint, p_limit interval,
                                         out lost bigint, out quarantined bigint, out queues text[])
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  tells boolean;
begin
  lost := 0; quarantined := 0; queues := '{}';
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
  again as (
    select e.job_id, e.attempt + 1 as attempt from ended e where e.outcome = 5
    union all
    select h.i, h.a from held h
     where h.losses > 0 and not h.started and tells
       and not exists (select from troupe.attempt t where t.job_id = h.i and t.attempt = h.a)),
  made as (
    insert into troupe.ready (lane, job_id, attempt)
    select troupe.lane_for(j.queue, j.priority, n.job_id), n.job_id, n.attempt
      from again n join troupe.job j on j.id = n.job_id
    returning lane)
  select (select count(*) from ended), (select count(*) from ended where outcome = 3),
         (select coalesce(array_agg(distinct l.queue), '{}')
            from made join troupe.lane l on l.id = made.lane)
    into lost, quarantined, queues;
  update troupe.node set ended_at = now() where id = p_node;
end $$;
