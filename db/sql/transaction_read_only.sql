-- After a begin: this transaction writes nothing.
-- brief
set transaction read only
