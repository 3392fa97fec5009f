-- Lines of one job's log, behind the one that is known; raises TR404.
-- reads
-- by rows
select seq, at, attempt, level, line from troupe.list_log($1, $2, $3)
