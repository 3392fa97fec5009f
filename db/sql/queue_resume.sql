-- Ends the pause of a queue; only if it stands at one of some versions.
with stands as materialized (select troupe.expect_queue($1, $3) where $2),
     resumes as materialized (select troupe.resume_queue($1)),
     noted as materialized (select troupe.note_change($4, $5, $6, 'queue.resume', $1::text))
select (select count(*) from stands) + (select count(*) from resumes) + (select count(*) from noted)
