-- Opens a transaction in which each statement sees what was committed before it.
-- brief
begin isolation level read committed
