-- The same, and permits are given back.
select w.fenced, w.deferred, k.permits, k.changes
  from troupe.write_outcomes($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) w,
       troupe.keep_permits($1, $14, $15, $16) k
