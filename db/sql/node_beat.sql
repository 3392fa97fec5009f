-- Heartbeat, and what happened meanwhile. Others are declared dead only when this node's own last
-- beat is fresh: after a stall of the database everybody looks dead for a moment.
with old as (
  select id, heartbeat_at from troupe.node where id = $1 and ended_at is null),
mine as (
  update troupe.node n set heartbeat_at = clock_timestamp() from old
   where n.id = old.id and n.ended_at is null
  returning old.heartbeat_at)
select exists (select from mine) as alive,
       case when (select heartbeat_at from mine) > now() - $2 * interval '0.6 ms'
            then array(select id from troupe.node
                        where ended_at is null and id <> $1
                          and heartbeat_at < now() - $2 * interval '1 ms')
            else '{}' end as dead,
       array(select v.job_id from troupe.revoked v
              where exists (select from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
                             where l.node = $1 and l.jobs @> array[v.job_id]
                               and u.i = v.job_id and u.a = v.attempt)) as cancelled,
       array(select id from troupe.lease where node = $1 order by id) as leases,
       (select ceil(extract(epoch from min(due_at) - clock_timestamp()) * 1000)::bigint
          from troupe.deferred) as next_due_ms,
       array(select distinct l.queue from troupe.lane l
              where l.open <> '{}' or l.draining <> '{}'
                 or exists (select from troupe.ready r
                             where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq))) as queues
