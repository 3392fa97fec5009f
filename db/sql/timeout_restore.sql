-- After it, for what follows in the same transaction.
-- brief
select set_config('statement_timeout', current_setting('troupe.timeout_before'), true)
