-- Writes the outcome first; raises TR404 and TR409. $2 to $4: who asks (messages/asker.hpp).
select troupe.cancel($1) from troupe.note_change($2, $3, $4, 'job.cancel', $1::bigint::text)
