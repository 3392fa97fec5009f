-- Removes a job that does not run; raises TR404 and TR409.
select troupe.delete_job($1)
