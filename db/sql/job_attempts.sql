-- The ended attempts of one job, first to last.
-- reads
-- by rows
select attempt, outcome, node, started_at, finished_at, result, error from troupe.list_attempts($1)
