-- Stores jobs of one queue and hands them to the node when nothing speaks against it; see 000013.
select e.lease, e.job_id, e.args, now() from troupe.enqueue_here($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) e
 order by e.job_id
