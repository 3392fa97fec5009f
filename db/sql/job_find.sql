-- A page of a search, newest first, below $9: at most $10 jobs among at most $11 that are looked at, for about $12.
-- In every row the id below which to go on; without a job there is one row of it. The page ends early once its args
-- have $13 bytes.
-- reads
-- by rows
select id, queue, kind, priority, state, args, attempt, max_attempts, timeout_ms, tags, run_at, created_at, limit_key,
       node, taken_at, next
  from (select w.*, sum(octet_length(w.args)) over (rows between unbounded preceding and 1 preceding) as before
          from (select j.id, j.queue, j.kind, j.priority, j.state, j.args::text as args, j.attempt, j.max_attempts,
                       j.timeout_ms, j.tags, j.run_at, j.created_at, j.limit_key, j.node, j.taken_at, f.next
                  from troupe.find_jobs($1, $9, $2, $3, $4, $5, $6, $7, $8, $10, $11, $12) f
                  left join lateral troupe.jobs_of(f.ids) j on true
                 order by j.id desc offset 0) w) page
 where coalesce(before, 0) < $13
