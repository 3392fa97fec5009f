-- What watchers of jobs are told: event streams ask several times a second, for all their jobs at once, which of
-- them are others than they were.

-- p_marks and p_lines are what was told of each job the last time, null at first. A row comes only for what is
-- another now. `mark` changes with the job's state and with all that is shown of it but its args; 0 says that
-- there is no such job. `last_line` is the highest number in its log, or 0. Once `ended` is true the log is whole.
-- Asked all the time, so leases are not looked for among the dead, and each job is found by its key (offset 0 keeps
-- the server from anything else whatever the statistics say).
create function troupe.watch_jobs(p_jobs bigint[], p_marks bigint[], p_lines bigint[])
returns table (id bigint, mark bigint, ended boolean, last_line bigint)
language plpgsql stable
set plan_cache_mode = force_generic_plan
set enable_bitmapscan = off
set enable_mergejoin = off
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with run as materialized (
    select u.i, u.n, l.id as lease, l.node
      from troupe.live_leases() l cross join unnest(l.jobs, l.attempts) u(i, n)),
  seen as (
    select w.id, w.mark as known_mark, w.line as known_line,
           case when j.id is null then 0
                else hashtextextended(row(d.reason, d.due_at, a.attempt, a.outcome, a.reopened, r.lease,
                                          p.attempt, p.updated_at, p.percent, p.message,
                                          j.queue, j.priority, j.max_attempts, j.timeout_ms, j.tags, j.run_at)::text,
                                      0) end as mark,
           j.id is not null and d.job_id is null and coalesce(a.outcome in (1, 2, 3) and not a.reopened, false) as ended,
           case when j.id is null then 0 else coalesce(g.seq, 0) end as last_line
      from unnest(p_jobs, p_marks, p_lines) w(id, mark, line)
      left join lateral (select x.id, x.queue, x.priority, x.max_attempts, x.timeout_ms, x.tags, x.run_at
                           from troupe.job x where x.id = w.id offset 0) j on true
      left join lateral (select x.job_id, x.reason, x.due_at
                           from troupe.deferred x where x.job_id = w.id offset 0) d on true
      left join lateral (select t.attempt, t.outcome, t.reopened
                           from troupe.attempt t where t.job_id = w.id order by t.attempt desc limit 1) a on true
      left join lateral (select x.attempt, x.updated_at, x.percent, x.message
                           from troupe.progress x where x.job_id = w.id offset 0) p on true
      left join lateral (select x.seq
                           from troupe.job_log x where x.job_id = w.id order by x.seq desc limit 1) g on true
      left join run r on r.i = w.id and r.n = coalesce(a.attempt, 0) + 1)
  select n.id, n.mark, n.ended, n.last_line from seen n
   where n.mark is distinct from n.known_mark or n.last_line is distinct from n.known_line;
end $$;
