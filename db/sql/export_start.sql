-- Puts an export in that is kept; raises TR409 when as many are kept, or as many bytes, as may be.
select job_id, use from troupe.start_export($1, $2, $3, $4)
