-- Savepoints nest under one name: the innermost is meant wherever it is named.
-- brief
savepoint troupe_savepoint
