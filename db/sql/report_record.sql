-- Progress and log lines of runs, fenced by their leases.
select troupe.record_reports($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
