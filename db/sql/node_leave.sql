-- Ends a node's life; one that still holds leases is made old, so that others rescue it at once.
update troupe.node n
   set ended_at = case when exists (select from troupe.lease l where l.node = n.id) then null else now() end,
       heartbeat_at = '-infinity'
 where id = $1 and ended_at is null
