-- For `troupe doctor`: how many partitions lie ahead of the newest row, and whether rows went past the
-- last one into the partition of the rest.
select 'jobs' as what,
       (select count(*)::text from troupe.partition p, troupe.job_id_seq s
         where p.what = 'jobs' and p.low > s.last_value) as ahead,
       (exists (select from troupe.job_rest) or exists (select from troupe.attempt_rest))::text as beyond
union all
select 'entries',
       (select count(*)::text from troupe.partition p, troupe.ready_seq_seq s
         where p.what = 'entries' and p.low > s.last_value),
       exists (select from troupe.ready_rest)::text
