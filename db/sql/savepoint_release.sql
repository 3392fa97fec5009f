-- Ends the innermost savepoint and keeps what was done in it.
-- brief
release savepoint troupe_savepoint
