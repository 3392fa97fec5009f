-- Undoes what was done since the innermost savepoint, which stays.
-- brief
rollback to savepoint troupe_savepoint
