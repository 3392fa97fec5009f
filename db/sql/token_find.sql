-- The token that was shown, by the hash of its secret; notes the day.
select id, name, role, queues, standing, left_ms from troupe.find_token($1)
