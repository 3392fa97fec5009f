-- Moves due jobs into their lanes; the last column is the time until the next one is due.
select p.moved, p.queues,
       (select (extract(epoch from min(d.due_at) - clock_timestamp()) * 1000)::bigint
          from troupe.deferred d) as next_due_ms
  from troupe.promote($1) p
