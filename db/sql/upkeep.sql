-- Partitions ahead; revocations that no cursor will meet any more.
select partitions_made, revocations_dropped from troupe.upkeep()
