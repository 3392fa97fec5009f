-- Sleeps on queues, looks at some again, is awake in others.
select queue, state from troupe.sleep_on($1, $2, $3)
