-- Opens a transaction at the isolation level the server is set to.
-- brief
begin
