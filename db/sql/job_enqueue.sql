-- Stores jobs; ids in the order given, and what created_at of all of them is. Only what differs from the defaults is sent.
select troupe.enqueue_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, p_traceparents => $12), now()
