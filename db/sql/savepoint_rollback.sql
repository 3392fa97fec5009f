-- Undoes what was done since the innermost savepoint, which stays.
rollback to savepoint troupe_savepoint
