-- An operator wants a worker to take no more, or to end.
with steered as materialized (select troupe.steer_worker($1, $2)),
     noted as materialized (
       select troupe.note_change($3, $4, $5, 'worker.' || $2::text, $1::text) from steered)
select $1::bigint from noted
