-- The ended attempts of several jobs, first to last of each.
-- reads
-- by rows
select attempt, outcome, node, started_at, finished_at, result, error, job_id from troupe.attempts_of($1)
