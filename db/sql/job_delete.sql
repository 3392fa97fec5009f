-- Removes a job that does not run; raises TR404 and TR409. What it was is noted.
select troupe.delete_job($1)
  from troupe.note_change($2, $3, $4, 'job.delete', $1::bigint::text, troupe.last_words($1))
