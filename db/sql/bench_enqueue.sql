-- One job, as a program without the engine stores it.
select troupe.enqueue($1, args => $2, queue => $3, max_attempts => $4)
