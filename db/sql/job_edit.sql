-- Changes a job that waits.
select troupe.edit($1, $2)
