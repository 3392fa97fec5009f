-- A new life of a node. Lanes are rebased first in case this database was restored from a dump.
with rebased as materialized (select troupe.rebase_lanes() as done)
insert into troupe.node (name, tells_starts, skips, serves, kinds)
select $1, true, $2, $3, $4 from rebased returning id
