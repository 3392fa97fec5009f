-- Items once, new links queued; how many pages were queued.
select troupe.record_pages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
