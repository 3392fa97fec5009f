-- The newest row of a lane is read from the end of its index, also by what is asked with every heartbeat. A bitmap
-- collects all of a lane's rows and sorts them: 70 pages a lane after four minutes of a held snapshot, in which the
-- server counts one row alive.
alter function troupe.beat(bigint, double precision) set enable_bitmapscan = off;
alter function troupe.heartbeat(bigint) set enable_bitmapscan = off;
alter function troupe.queues_in_turn() set enable_bitmapscan = off;
alter function troupe.recent_queues(int) set enable_bitmapscan = off;
alter function troupe.upkeep() set enable_bitmapscan = off;

-- Queue by queue: hashed, either table was read whole, with all that has died in it.
select troupe.edit_function('queues_in_turn', $old$
            or exists (select from troupe.key_end e where e.queue = q.name)
               and exists (select from troupe.parked p where p.queue = q.name))
$old$, $new$
            or exists (select from troupe.key_end e where e.queue = q.name offset 0)
               and exists (select from troupe.parked p where p.queue = q.name offset 0))
$new$);

-- Only what lives; the table has all that was ever leased while a snapshot is held.
select troupe.edit_function('upkeep', $old$
  leased as materialized (select u.i from troupe.lease e, unnest(e.jobs) u(i))
$old$, $new$
  leased as materialized (select u.i from troupe.live_leases() e, unnest(e.jobs) u(i))
$new$);
select troupe.edit_function('heartbeat', $old$
    select u.i from troupe.lease l, unnest(l.jobs, l.attempts) u(i, a)
     where l.node = heartbeat.node and (select exists (select from troupe.revoked))
$old$, $new$
    select u.i from troupe.live_leases(heartbeat.node) l, unnest(l.jobs, l.attempts) u(i, a)
     where (select exists (select from troupe.revoked))
$new$);
