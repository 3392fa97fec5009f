-- Before one statement with a time of its own: keeps what holds now, then sets that. Both end with
-- the transaction.
-- brief
select set_config('troupe.timeout_before', current_setting('statement_timeout'), true),
       set_config('statement_timeout', $1, true)
