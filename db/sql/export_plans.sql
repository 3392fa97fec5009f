-- How an export's statement, which comes next in its transaction, is planned whatever the statistics say: each
-- table once by index, joined by merging, nothing sorted but what is in leases. And the server looks once a second
-- whether the reader is still there.
select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_nestloop', 'off', true),
       set_config('enable_mergejoin', 'on', true), set_config('enable_hashagg', 'off', true),
       set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true),
       set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true),
       set_config('client_connection_check_interval', '1s', true)
