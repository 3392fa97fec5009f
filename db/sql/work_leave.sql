-- A worker's life is over; what it held goes back.
select jobs, next_ms, steered from troupe.leave_worker($1, $2, $3)
