-- Opens a transaction that sees one snapshot throughout.
begin isolation level repeatable read
