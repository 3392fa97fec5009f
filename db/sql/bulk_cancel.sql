-- Nothing more of an operation is done.
select troupe.cancel_bulk($1)
