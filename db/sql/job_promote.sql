-- Moves due jobs into their lanes; the last column is the time until the next one is due.
select moved, queues, next_due_ms from troupe.promote($1)
