-- What a session has from its start, for one transaction: behind a pooler there is no session.
-- brief
select set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
       set_config('idle_in_transaction_session_timeout', $3, true),
       set_config('TimeZone', 'UTC', true)
