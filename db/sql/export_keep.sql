-- Makes a run's chunks the file; in the transaction of its outcome. Raises TR404 and TR409.
select troupe.keep_export($1, $2, $3, $4, $5, $6)
