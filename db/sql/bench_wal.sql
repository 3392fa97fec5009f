-- Bytes of WAL that this server has written since it was made, by whomever.
-- reads
select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint
