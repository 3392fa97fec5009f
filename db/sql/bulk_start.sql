-- Begins an operation on many jobs; its number, and what its idempotency key did. Who began it is noted once.
select o.operation, o.use
  from troupe.bulk_once($1, $2, $3, $4, $5, $6, $10) o,
       lateral (select count(*) from (
         select troupe.note_change($7, $8, $9, 'bulk.' || $1::text, o.operation::text) where o.use < 2) x) noted
