-- After a begin: this transaction writes nothing.
set transaction read only
