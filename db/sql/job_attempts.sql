-- The ended attempts of one job, first to last.
-- reads
-- by rows
select a.attempt, a.outcome, coalesce(n.name, '') as node, a.started_at, a.finished_at, a.result, a.error
  from troupe.attempt a left join troupe.node n on n.id = a.node
 where a.job_id = $1
 order by a.attempt
 limit 2000
