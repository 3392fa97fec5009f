-- How many runs of the queue there may be at once, and how many in a time; null: nothing limits it. Only
-- what is to be changed.
with runs as materialized (select troupe.limit_queue($1, $3) where $2),
     rates as materialized (select troupe.rate_queue($1, $5, $6, $7) where $4)
select (select count(*) from runs) + (select count(*) from rates)
