-- Ends the pause of a queue.
select troupe.resume_queue($1)
