-- How many runs of the queue there may be at once, how many in a time, the same of each key, and how many
-- jobs may wait; null: nothing limits it. Whether it is ordered. Only what is to be changed; what allows the
-- rest goes first, and before that whether it stands at one of some versions.
with held as materialized (select troupe.hold_limits($1) as limits),
     stands as materialized (select troupe.expect_queue($1, $18) where $17),
     loose as materialized (select troupe.order_queue($1, false) where not $14),
     runs as materialized (select troupe.limit_queue($1, $3) where $2),
     rates as materialized (select troupe.rate_queue($1, $5, $6, $7) where $4),
     keys as materialized (select troupe.limit_keys($1, $9) where $8),
     paces as materialized (select troupe.rate_keys($1, $11, $12, $13) where $10),
     waits as materialized (select troupe.limit_waiting($1, $16) where $15),
     strict as materialized (select troupe.order_queue($1, true) where $14),
     noted as materialized (
       select troupe.note_change($19, $20, $21, 'queue.limit', $1::text,
                                 troupe.differences(h.limits, troupe.limits_of($1))) from held h)
select (select count(*) from held) + (select count(*) from stands) + (select count(*) from loose)
       + (select count(*) from runs) + (select count(*) from rates) + (select count(*) from keys)
       + (select count(*) from paces) + (select count(*) from waits) + (select count(*) from strict) + (select count(*) from noted)
