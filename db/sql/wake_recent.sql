-- The queues of which a node that begins to listen looks whether they have work.
-- reads
select troupe.recent_queues($1)
