-- After a borrower that ran statements of his own: his role, which reset all leaves.
set session authorization default
