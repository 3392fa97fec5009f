-- Progress and log lines of a worker's runs, fenced by their leases.
select fenced, dropped
  from troupe.report_by_worker($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
