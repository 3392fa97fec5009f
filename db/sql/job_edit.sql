-- Changes a job that waits.
select 1
  from troupe.edit_job($1, $2) e,
       lateral troupe.note_change($3, $4, $5, 'job.edit', $1::bigint::text, e.changed)
