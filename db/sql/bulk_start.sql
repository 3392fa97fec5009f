-- Begins an operation on many jobs; its number.
select b from troupe.bulk($1, $2, $3, $4, $5, $6) b,
       lateral troupe.note_change($7, $8, $9, 'bulk.' || $1::text, b::text)
