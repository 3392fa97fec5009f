-- Ends the pause of a queue.
select troupe.resume_queue($1) from troupe.note_change($2, $3, $4, 'queue.resume', $1::text)
