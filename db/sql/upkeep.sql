-- Partitions ahead; revocations that no cursor will meet any more; keys that are in nobody's way;
-- rates of keys that are used up no more; counts; what the audit keeps no longer; exports that nobody has;
-- partitions of entries that nobody needs, last, for the lock.
select u.partitions_made, u.revocations_dropped, k.keys_dropped, k.requests_dropped, d as dropped
  from troupe.upkeep() u, troupe.forget_keys() k, troupe.tidy_keys() t, troupe.fold_tallies() f,
       troupe.forget_audit() a, troupe.sweep_exports() e, troupe.drop_entries() d
