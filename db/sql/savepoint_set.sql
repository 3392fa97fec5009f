-- Savepoints nest under one name: the innermost is meant wherever it is named.
savepoint troupe_savepoint
