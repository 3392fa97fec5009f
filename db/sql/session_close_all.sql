-- After a borrower that ran statements of his own: cursors held open.
close all
