-- Makes a final or waiting job available now; its queue. Raises TR404 and TR409.
select troupe.retry($1) from troupe.note_change($2, $3, $4, 'job.retry', $1::bigint::text)
