-- Changes a job that waits.
select troupe.edit($1, $2) from troupe.note_change($3, $4, $5, 'job.edit', $1::bigint::text)
