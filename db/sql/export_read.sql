-- A part of a file, or null.
-- reads
select troupe.read_export($1, $2, $3, $4)
