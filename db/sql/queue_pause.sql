-- From its commit on nothing of the queue is handed out.
select troupe.pause_queue($1) from troupe.note_change($2, $3, $4, 'queue.pause', $1::text)
