-- After a borrower that ran statements of his own: temporary tables.
discard temp
