-- What a session has from its start, for one transaction: behind a pooler there is no session. $4
-- is 'off' for plans that go by index whatever the statistics say, NULL to leave that alone.
-- brief
select set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
       set_config('idle_in_transaction_session_timeout', $3, true),
       set_config('TimeZone', 'UTC', true),
       set_config('enable_seqscan', coalesce($4, current_setting('enable_seqscan')), true),
       set_config('enable_hashjoin', coalesce($4, current_setting('enable_hashjoin')), true),
       set_config('enable_mergejoin', coalesce($4, current_setting('enable_mergejoin')), true),
       set_config('jit', coalesce($4, current_setting('jit')), true)
