-- How runs ended, each for itself, fenced by its lease.
select fates, next_ms, steered from troupe.finish_by_worker($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
