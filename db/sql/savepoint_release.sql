-- Ends the innermost savepoint and keeps what was done in it.
release savepoint troupe_savepoint
