-- From its commit on the nodes of the name are handed out nothing more, or are again; the newest of them.
select d
  from troupe.drain_node($1, $2) d,
       lateral troupe.note_change($3, $4, $5, case when $2 then 'node.drain' else 'node.resume' end, $1::text)
