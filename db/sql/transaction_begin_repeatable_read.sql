-- Opens a transaction that sees one snapshot throughout.
-- brief
begin isolation level repeatable read
