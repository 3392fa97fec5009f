-- Nothing more of an operation is done.
select troupe.cancel_bulk($1) from troupe.note_change($2, $3, $4, 'bulk.cancel', $1::bigint::text)
