-- After a borrower that ran statements of his own: his settings.
reset all
