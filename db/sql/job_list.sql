-- Jobs of one state or of any, newest first, below an id. The page ends early once its args have $6 bytes.
-- reads
-- by rows
select id, queue, kind, priority, state, args, attempt, max_attempts, timeout_ms, tags, run_at, created_at,
       limit_key, node, taken_at
  from (select w.*, sum(octet_length(w.args)) over (rows between unbounded preceding and 1 preceding) as before
          from (select id, queue, kind, priority, state, args::text as args, attempt, max_attempts, timeout_ms, tags,
                       run_at, created_at, limit_key, node, taken_at
                  from troupe.list_jobs($1, $2, $3, $4, $5) offset 0) w) page
 where coalesce(before, 0) < $6
