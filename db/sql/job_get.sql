-- One job with its state. `running` is asked of the leases only for this job.
-- reads
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
       coalesce(d.due_at, j.run_at, j.created_at) as run_at, j.created_at, r.taken_at, r.node
  from troupe.job j
  left join troupe.deferred d on d.job_id = j.id
  left join lateral (
    select * from troupe.attempt t where t.job_id = j.id order by t.attempt desc limit 1) a on true
  left join lateral (
    select l.taken_at, n.name as node
      from troupe.lease l, unnest(l.jobs, l.attempts) u(i, n_attempt), troupe.node n
     where l.jobs @> array[j.id] and u.i = j.id and u.n_attempt = coalesce(a.attempt, 0) + 1
       and n.id = l.node
     limit 1) r on true
 where j.id = $1
