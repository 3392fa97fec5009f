-- A worker's heartbeat, and what happened meanwhile.
select cancelled, lost, put_back, next_ms, steered, wanted from troupe.beat_of_worker($1, $2, $3, $4)
