-- A new life of a node. Lanes are rebased first in case this database was restored from a dump.
with rebased as materialized (select troupe.rebase_lanes() as done)
insert into troupe.node (name, tells_starts, skips, serves, kinds, slots, slot_queues, queue_slots, version,
                         wanted)
select $1, true, $2, $3, $4, $5, $6, $7, $8, case when $9 then 'quiet' end from rebased returning id
