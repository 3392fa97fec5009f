-- Counts pages whose job ended without recording anything.
select troupe.reconcile_crawl($1)
