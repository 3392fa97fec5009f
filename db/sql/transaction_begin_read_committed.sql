-- Opens a transaction in which each statement sees what was committed before it.
begin isolation level read committed
