-- How long jobs of a queue, or of all others ('') are kept: what is given changes. What holds afterwards.
select a.queue, a.completed_ms, a.cancelled_ms, a.discarded_ms
  from troupe.change_ages($1, array[$2, $4, $6]::boolean[], array[$3, $5, $7]::bigint[]) a,
       lateral troupe.note_change($8, $9, $10, 'retention.change', coalesce(nullif($1::text, ''), 'all others'),
                                  a.changed)
