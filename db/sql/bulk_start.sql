-- Begins an operation on many jobs; its number.
select troupe.bulk($1, $2, $3, $4, $5, $6)
