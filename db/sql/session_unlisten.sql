-- After a borrower that ran statements of his own: his subscriptions.
unlisten *
