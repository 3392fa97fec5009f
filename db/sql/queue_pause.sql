-- From its commit on nothing of the queue is handed out.
select troupe.pause_queue($1)
