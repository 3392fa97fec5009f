-- What ends a worker's runs by HTTP was planned anew by each request: the server deems plans for the arrays at hand
-- cheaper, by less than it costs to make them. That was most of a request that ends one run.
alter function troupe.end_runs(bigint, bigint[], bigint[], smallint[], smallint[], jsonb[], text[], bigint[])
  set plan_cache_mode = force_generic_plan;
