-- What is known by its key is looked up by it, whatever the server thinks of the table's size.
--
-- Of a table that was small when it was last analyzed it may think that to read it whole by an index costs no
-- more than to look up what the checkpoint names, and while a snapshot is held "whole" means everything that
-- has died since: a heartbeat then read 80,000 pages.
select troupe.edit_function('live_leases', $old$
    select l.* from unnest(c.leases) u(i) join troupe.lease l on l.id = u.i
     where p_node is null or l.node = p_node
    union all
    select l.* from unnest(c.open) o(writer) join troupe.lease l on l.xact = o.writer
     where p_node is null or l.node = p_node
    union all
    select l.* from troupe.lease l
     where l.xact >= c.xact and (p_node is null or l.node = p_node);
$old$, $new$
    select l.* from unnest(c.leases) u(i)
     cross join lateral (select * from troupe.lease x where x.id = u.i offset 0) l
     where p_node is null or l.node = p_node
    union all
    select l.* from unnest(c.open) o(writer)
     cross join lateral (select * from troupe.lease x where x.xact = o.writer offset 0) l
     where p_node is null or l.node = p_node
    union all
    -- In its order, so that no other index will do.
    select l.* from (select * from troupe.lease x where x.xact >= c.xact order by x.xact offset 0) l
     where p_node is null or l.node = p_node;
$new$);
select troupe.edit_function('due_from', $old$
               (select min(p.due_at) from unnest(c.open) o(writer) join troupe.put_off_at p on p.xact = o.writer));
$old$, $new$
               (select min(p.due_at) from unnest(c.open) o(writer)
                 cross join lateral (select * from troupe.put_off_at x where x.xact = o.writer offset 0) p));
$new$);
select troupe.edit_function('promote', $old$
    delete from troupe.deferred d using due where d.job_id = due.job_id
$old$, $new$
    delete from troupe.deferred d where d.job_id = any (array(select due.job_id from due))
$new$);
select troupe.edit_function('note_deferred', $old$
  delete from troupe.put_off_at p using unnest(old.open) o(writer)
   where p.xact = o.writer and p.xact <> all (new.open);
$old$, $new$
  delete from troupe.put_off_at p where p.xact = any (old.open) and p.xact <> all (new.open);
$new$);
