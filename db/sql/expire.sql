-- One step towards dropping history that is past its age.
select coalesce(step, ''), coalesce(low, 0), dropped, kept from troupe.expire_jobs()
