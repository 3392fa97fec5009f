-- What /metrics shows of queues' ages, tables and transactions.
-- reads
select queues, ages, tables, dead, oldest_transaction from troupe.measure($1)
