-- How long jobs of a queue are kept is as for all others again, which is the answer.
select a.queue, a.completed_ms, a.cancelled_ms, a.discarded_ms
  from troupe.forget_ages($1) a,
       lateral troupe.note_change($2, $3, $4, 'retention.forget', $1::text, a.changed)
