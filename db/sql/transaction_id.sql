-- The transaction's number once it has written something; null before.
select pg_current_xact_id_if_assigned()::text
