-- Of a queue's jobs from an id on: how many there are, and how many ran once and completed. It is asked when
-- they are many and all have ended, so it may read whole tables.
-- reads
select count(*), count(*) filter (where runs = 1 and completed = 1)
  from (select count(a.job_id) as runs, count(*) filter (where a.outcome = 1) as completed
          from troupe.job j left join troupe.attempt a on a.job_id = j.id and a.job_id >= $2
         where j.queue = $1 and j.id >= $2
         group by j.id) each
