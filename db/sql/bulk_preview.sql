-- How many jobs an operation would meet, and the first of them.
select matched, more, sample from troupe.bulk_preview($1, $2, $3, $4, $5)
