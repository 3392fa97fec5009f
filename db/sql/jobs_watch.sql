-- Which of these jobs are others than they were told, or have further lines.
-- timeout: 10s
-- reads
-- by rows
select id, mark, ended, last_line from troupe.watch_jobs($1, $2, $3)
