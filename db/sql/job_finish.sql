-- Outcomes, fenced by their leases.
select fenced, deferred
  from troupe.write_outcomes($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
