-- Partitions of `ready` that every cursor has passed are dropped whole; nothing else ever takes entries
-- out of it.

-- Is there an entry in this partition that a claim may still hand out?
create function troupe.entries_wanted(p_partition text) returns boolean language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
set enable_bitmapscan = off set jit = off as $$
declare
  wanted boolean;
begin
  execute format(
    'select exists (
       select from troupe.lane l
        where exists (select from troupe.%1$I r where r.lane = l.id and (r.xact, r.seq) > (l.xact, l.seq))
           or exists (select from troupe.%1$I r where r.lane = l.id and r.xact = any (l.open || l.draining)))',
    p_partition) into wanted;
  return wanted;
end $$;

-- Drops them, and says how many. It waits for transactions that have entered something and are still
-- open, with everybody behind it, so not for long: the next round tries again.
create function troupe.drop_entries() returns int language plpgsql set lock_timeout = '50ms' as $$
declare
  newest bigint := (select case when is_called then last_value else 0 end from troupe.ready_seq_seq);
  part record;
  dropped int := 0;
begin
  if not exists (select from troupe.partition p where p.what = 'entries' and p.high <= newest)
     -- One snapshot for all statements would not show what was committed before the lock came.
     or current_setting('transaction_isolation') <> 'read committed' then
    return 0;
  end if;
  perform pg_advisory_xact_lock(72331733, 1); -- of those who make partitions
  for part in
    select p.low, 'ready_' || p.low as name from troupe.partition p
     where p.what = 'entries' and p.high <= newest order by p.low
  loop
    continue when troupe.entries_wanted(part.name);
    lock table only troupe.ready in access exclusive mode;
    -- Whoever was entering something has ended by now; what it left is seen.
    continue when troupe.entries_wanted(part.name);
    execute format('alter table troupe.ready detach partition troupe.%I', part.name);
    execute format('drop table troupe.%I', part.name);
    delete from troupe.partition p where p.what = 'entries' and p.low = part.low;
    dropped := dropped + 1;
  end loop;
  return dropped;
exception when lock_not_available then
  return 0;
end $$;
