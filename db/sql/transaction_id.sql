-- The transaction's number once it has written something, with the server's time and timeline, by
-- which transaction_status can tell whether the number may have been given to another one; null
-- before.
-- brief
select case when pg_current_xact_id_if_assigned() is not null then
  concat_ws('@', pg_current_xact_id_if_assigned(), extract(epoch from clock_timestamp()),
            left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))
end
