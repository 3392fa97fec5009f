-- A worker by HTTP begins its life.
select troupe.join_worker($1, $2, $3, $4, $5, $6, $7, $8)
