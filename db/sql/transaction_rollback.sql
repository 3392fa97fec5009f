-- Ends the transaction, whatever its state.
rollback
