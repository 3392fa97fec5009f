-- Writes the outcome first; raises TR404 and TR409.
select troupe.cancel($1)
