-- What a borrower left open.
rollback
