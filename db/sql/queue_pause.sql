-- From its commit on nothing of the queue is handed out; only if it stands at one of some versions.
with stands as materialized (select troupe.expect_queue($1, $3) where $2),
     pauses as materialized (select troupe.pause_queue($1)),
     noted as materialized (select troupe.note_change($4, $5, $6, 'queue.pause', $1::text))
select (select count(*) from stands) + (select count(*) from pauses) + (select count(*) from noted)
