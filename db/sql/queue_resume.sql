-- Ends the pause of a queue; only if it stands at one of some versions.
with stands as materialized (select troupe.expect_queue($1, $3) where $2),
     resumes as materialized (select troupe.resume_queue($1))
select (select count(*) from stands) + (select count(*) from resumes)
