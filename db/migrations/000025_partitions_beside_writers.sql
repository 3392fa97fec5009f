-- Where nobody made partitions ahead for long (no node was there), rows lie in the rest partition, and more
-- may come while the next partition is made: one that begins right above the newest row is refused then.

create or replace function troupe.make_partitions(p_size bigint default 5000000, p_ahead int default 2)
returns int language plpgsql
set lock_timeout = '300ms' as $$
declare
  kind text;
  newest bigint;
  top bigint;
  name text;
  made int := 0;
begin
  perform pg_advisory_xact_lock(72331733, 1);
  foreach kind in array array['jobs', 'entries'] loop
    if kind = 'jobs' then
      newest := (select case when is_called then last_value else 0 end from troupe.job_id_seq);
    else
      newest := (select case when is_called then last_value else 0 end from troupe.ready_seq_seq);
    end if;
    select coalesce(max(p.high), 1) into top from troupe.partition p where p.what = kind;
    if top <= newest then -- the rest partition holds rows from here on, and those of open writers
      top := newest + 1 + p_size / 8;
    end if;
    while (select count(*) from troupe.partition p
            where p.what = kind and p.high > newest) < p_ahead loop
      foreach name in array case when kind = 'jobs' then array['job', 'attempt', 'progress', 'job_log']
                                 else array['ready'] end
      loop
        execute format('create table troupe.%I (like troupe.%I including defaults including constraints)',
                       name || '_' || top, name);
        execute format('alter table troupe.%I attach partition troupe.%I for values from (%s) to (%s)',
                       name, name || '_' || top, top, top + p_size);
      end loop;
      insert into troupe.partition (what, low, high) values (kind, top, top + p_size);
      top := top + p_size;
      made := made + 1;
    end loop;
  end loop;
  return made;
end $$;
