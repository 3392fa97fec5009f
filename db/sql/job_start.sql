-- Before a run starts whose job was lost before.
select troupe.start_run($1, $2, $3)
