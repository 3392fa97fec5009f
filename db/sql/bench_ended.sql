-- Of a queue's jobs from an id on: how many there are, and how many ran once and completed. They are many and all
-- of them have ended, so tables may be read whole; but without a join, whose plan could go wrong with their number.
-- reads
select count(*), count(*) filter (where runs = 1 and completed = 1)
  from (select count(outcome) as runs, count(*) filter (where outcome = 1) as completed
          from (select id, null::smallint as outcome from troupe.job where queue = $1 and id >= $2
                union all
                select job_id, outcome from troupe.attempt where job_id >= $2) known
         group by id
        having count(*) > count(outcome)) each
