-- How a transaction of this number ended: committed, aborted, in progress; null when it is too old to tell.
-- reads
select pg_xact_status($1::text::xid8)
