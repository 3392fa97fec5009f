-- The same where jobs have unique keys or requests have one; what became of each.
select ids, now(), fates, uses, stored_at
  from troupe.enqueue_keyed($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
