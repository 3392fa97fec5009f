-- One more chunk of a run's export, and what became of it.
select troupe.put_export_chunk($1, $2, $3, $4, $5, $6)
