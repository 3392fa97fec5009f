-- Who has changed what, newest first; below an id.
-- reads
select id, at, who, token, action, subject, request, changes from troupe.list_audit($1, $2)
