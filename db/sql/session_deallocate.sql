-- After a borrower that ran statements of his own: what is prepared, once it is much.
deallocate all
