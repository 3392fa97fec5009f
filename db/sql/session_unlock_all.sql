-- After a borrower that ran statements of his own: locks of the session.
select pg_advisory_unlock_all()
