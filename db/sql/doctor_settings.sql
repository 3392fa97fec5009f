-- For `troupe doctor`: what holds for a new session of this user in this database.
select name, reset_val from pg_settings
 where name in ('fsync', 'full_page_writes', 'synchronous_commit', 'data_checksums',
                'server_encoding', 'autovacuum', 'track_counts', 'default_transaction_read_only',
                'default_transaction_isolation', 'statement_timeout', 'lock_timeout',
                'idle_in_transaction_session_timeout')
