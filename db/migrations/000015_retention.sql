-- History ends: what lies in a partition of ids is dropped whole when all of its jobs are final and past
-- their ages. A few that are not are moved first into a small partition of the same ids. Nothing else
-- ever deletes many jobs.

-- How long jobs are kept after their end, by how they ended. Null: for ever. The queue '' stands for all
-- that are not named here.
create table troupe.retention (
  completed interval check (completed between '0' and '3650 days'),
  cancelled interval check (cancelled between '0' and '3650 days'),
  discarded interval check (discarded between '0' and '3650 days'),
  queue     text primary key check (queue = '' or queue ~ '^[A-Za-z0-9._:-]{1,128}$')
);
insert into troupe.retention values ('7 days', '7 days', '7 days', '');

alter table troupe.partition
  add column sealed boolean not null default false,           -- what comes or goes late is noted
  add column look_at timestamptz not null default '-infinity', -- not to be looked through before
  add column looked_to bigint,                                -- ids below were, in this pass
  add column looked_jobs bigint not null default 0;           -- jobs met in this pass

-- Of the partition that is being looked through: what is not to be dropped. Alive: not final, or still in
-- a node's hands.
create table troupe.straggler (job_id bigint primary key, alive boolean not null);

-- Jobs that came into a sealed partition, left it, or were retried: who looked it through before knows
-- nothing of them.
create table troupe.touched (job_id bigint not null);
create index touched_job on troupe.touched (job_id);

create function troupe.note_touched() returns trigger language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  insert into troupe.touched (job_id)
  values ((case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end ->> tg_argv[0])::bigint);
  return null;
end $$;
create trigger note_reopened after update of reopened on troupe.attempt
  for each row when (new.reopened and not old.reopened) execute function troupe.note_touched('job_id');

-- -- the contract ----------------------------------------------------------------------------------

-- How long jobs are kept after their end; null: for ever. Of one queue, or of all that have no ages of
-- their own.
create function troupe.retain(completed interval, cancelled interval, discarded interval,
                              queue text default null)
returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
#variable_conflict use_variable
begin
  if queue is not null and queue !~ '^[A-Za-z0-9._:-]{1,128}$' then
    raise exception 'queue must be 1 to 128 of A-Z a-z 0-9 . _ : -' using errcode = 'TR400';
  elsif exists (select from unnest(array[completed, cancelled, discarded]) age
                 where age not between '0' and '3650 days') then
    raise exception 'ages must be 0 to 3650 days, or null for ever' using errcode = 'TR400';
  end if;
  insert into troupe.retention as r (completed, cancelled, discarded, queue)
  values (completed, cancelled, discarded, coalesce(queue, ''))
  on conflict on constraint retention_pkey do update
     set completed = excluded.completed, cancelled = excluded.cancelled, discarded = excluded.discarded;
  perform troupe.look_again();
end $$;

-- The ages of this queue are those of all others again.
create function troupe.retain_as_others(queue text) returns void language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  delete from troupe.retention r where r.queue = retain_as_others.queue and r.queue <> '';
  perform troupe.look_again();
end $$;

-- All rows: it has to wait for the one that a step has just begun with.
create function troupe.look_again() returns void language sql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
  update troupe.partition set look_at = '-infinity', looked_to = null where what = 'jobs';
$$;

-- -- making ends -----------------------------------------------------------------------------------

-- Ids go on in the next partition when the first job of this one is older than p_span, so that few jobs
-- fill a partition no longer than many. Not with 32 partitions of jobs: statements that join by ids look into each.
create function troupe.cut_jobs(p_span interval) returns boolean language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off
set lock_timeout = '50ms' as $$
declare
  most constant int := 32;
  newest bigint := (select case when is_called then last_value else 0 end from troupe.job_id_seq);
  part troupe.partition;
begin
  select * into part from troupe.partition p where p.what = 'jobs' and p.low <= newest and p.high > newest;
  if not found
     or (select count(*) from troupe.partition p where p.what = 'jobs') >= most
     or not exists (select from troupe.partition p where p.what = 'jobs' and p.low = part.high)
     or coalesce((select j.created_at from troupe.job j where j.id >= part.low and j.id < part.high
                   order by j.id limit 1), 'infinity') > clock_timestamp() - p_span then
    return false;
  end if;
  alter sequence troupe.job_id_seq no cycle; -- nobody takes an id from here on, and who did has ended
  if (select last_value from troupe.job_id_seq) >= part.high then
    return false;
  end if;
  execute format('alter sequence troupe.job_id_seq restart with %s', part.high);
  perform nextval('troupe.job_id_seq'); -- a sequence that was not called looks as if there were no jobs
  return true;
exception when lock_not_available then
  return false;
end $$;

-- From here on what comes into the partition late, and what is deleted from it, is noted. Waits for those
-- that are writing into it, not for long.
create function troupe.seal_jobs(p_low bigint) returns boolean language plpgsql
set lock_timeout = '50ms' as $$
begin
  execute format('create trigger note_late after insert or delete on troupe.%I
                    for each row execute function troupe.note_touched(''id'')', 'job_' || p_low);
  update troupe.partition set sealed = true where what = 'jobs' and low = p_low;
  return true;
exception when lock_not_available then
  return false;
end $$;

-- Notes which of these ids of a partition are not to be dropped; how many jobs there are.
create function troupe.look_through(p_from bigint, p_to bigint) returns bigint language plpgsql
set plan_cache_mode = force_custom_plan set enable_hashjoin = on set enable_mergejoin = on
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  held constant bigint[] := array(select distinct u.i from troupe.lease l, unnest(l.jobs) u(i)
                                   where u.i >= p_from and u.i < p_to);
  met bigint;
begin
  with age as materialized (select * from troupe.retention),
  usual as materialized (select * from age where queue = ''),
  last as materialized (
    select j.id, j.parent, a.outcome,
           a.finished_at + case when r.queue is not null
             then case a.outcome when 1 then r.completed when 2 then r.cancelled else r.discarded end
             else case a.outcome when 1 then s.completed when 2 then s.cancelled else s.discarded end end
             as ends_at
      from troupe.job j
      left join troupe.attempt a
             on a.job_id = j.id and a.outcome in (1, 2, 3) and not a.reopened
                and a.job_id >= p_from and a.job_id < p_to
      left join age r on r.queue = j.queue
     cross join usual s
     where j.id >= p_from and j.id < p_to),
  kept as (
    insert into troupe.straggler (job_id, alive)
    select e.id, e.outcome is null or e.id = any (held) from last e
     where e.outcome is null or e.id = any (held) or (e.ends_at > now()) is not false
           -- Its key is still in the way of others.
           or exists (select from troupe.unique_job u join troupe.unique_key k on k.digest = u.digest
                       where u.job_id = e.id and k.job_id = e.id
                         and (u.ends_at is null or u.ends_at > now() - interval '1 hour')
                         and (array['completed', 'cancelled', 'discarded'])[e.outcome] = any (u.states)
                      offset 0)
           -- An open crawl would count a page without a job as failed.
           or e.parent is not null
              and exists (select from troupe.crawl c join troupe.job p on p.id = c.job_id
                           where c.job_id = e.parent and not c.closed offset 0))
  select count(*) into met from last;
  return met;
end $$;

-- Copies these jobs, and what there is of them, into tables that are no partitions yet.
create function troupe.copy_jobs(p_low bigint, p_high bigint, p_jobs bigint[]) returns void
language plpgsql
set plan_cache_mode = force_custom_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  name text;
begin
  if p_jobs = '{}' then
    return;
  end if;
  foreach name in array array['job', 'attempt', 'progress', 'job_log'] loop
    execute format('insert into troupe.%1$I select * from troupe.%2$I x
                     where x.%3$I >= %4$s and x.%3$I < %5$s and x.%3$I = any ($1)',
                   name || '_' || p_low || '_next', name, case name when 'job' then 'id' else 'job_id' end,
                   p_low, p_high) using p_jobs;
  end loop;
end $$;

-- Puts the tables of the stragglers, or nothing, in the place of the partition. Everybody waits meanwhile,
-- and behind it while it waits for open transactions: not for long. What it did, as troupe.expire_jobs says.
create function troupe.swap_jobs(p_low bigint, p_high bigint, p_moved boolean) returns text language plpgsql
set lock_timeout = '50ms' as $$
declare
  name text;
  part text;
begin
  if p_moved then
    foreach name in array array['job', 'attempt', 'progress', 'job_log'] loop
      execute format('create table troupe.%1$I (like troupe.%2$I including defaults including constraints
                        including indexes, constraint its_range check (%3$I >= %4$s and %3$I < %5$s))',
                     name || '_' || p_low || '_next', name,
                     case name when 'job' then 'id' else 'job_id' end, p_low, p_high);
    end loop;
    perform troupe.copy_jobs(p_low, p_high, array(select s.job_id from troupe.straggler s where not s.alive));
    execute format('create trigger note_late after insert or delete on troupe.%I
                      for each row execute function troupe.note_touched(''id'')', 'job_' || p_low || '_next');
  end if;
  perform pg_advisory_xact_lock(72331733, 1); -- of those who make partitions
  lock table only troupe.job, only troupe.attempt, only troupe.progress, only troupe.job_log
    in access exclusive mode;
  -- Whoever was changing something has ended by now; what it left is seen.
  if exists (select from troupe.touched t where t.job_id >= p_low and t.job_id < p_high) then
    raise exception using errcode = 'TR409';
  end if;
  perform troupe.copy_jobs(p_low, p_high, array(select s.job_id from troupe.straggler s where s.alive));
  foreach name in array array['job', 'attempt', 'progress', 'job_log'] loop
    part := name || '_' || p_low;
    execute format('drop table troupe.%I', part);
    if p_moved then
      execute format('alter table troupe.%I attach partition troupe.%I for values from (%s) to (%s)',
                     name, part || '_next', p_low, p_high);
      execute format('alter table troupe.%I drop constraint its_range', part || '_next');
      execute format('alter table troupe.%I rename to %I', part || '_next', part);
    end if;
  end loop;
  if not p_moved then
    delete from troupe.partition p where p.what = 'jobs' and p.low = p_low;
  end if;
  return case when p_moved then 'moved' else 'dropped' end;
exception
  when lock_not_available then return 'busy';
  when sqlstate 'TR409' then return 'again';
end $$;

-- One step of it. step: cut, sealed, looked (through some of it: there is more), dropped, moved (all but
-- kept jobs were dropped), waits (for ages, or there are too many to be moved), again (something has
-- changed meanwhile), busy (somebody else had the locks: again in a minute); null: there is nothing to be
-- done.
create function troupe.expire_jobs(p_span interval default '1 day', p_chunk int default 20000,
                                   out step text, out low bigint, out dropped bigint, out kept bigint)
language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
  most_kept constant int := 20000;  -- and a tenth of the partition
  most_alive constant int := 2000;  -- copied while everybody waits
  newest constant bigint := (select case when is_called then last_value else 0 end from troupe.job_id_seq);
  shortest constant interval := (select min(least(r.completed, r.cancelled, r.discarded))
                                   from troupe.retention r);
  part troupe.partition;
  found_at bigint;
  alive bigint;
begin
  dropped := 0; kept := 0;
  if shortest is null
     -- One snapshot for all statements would not show what was committed before the locks came.
     or current_setting('transaction_isolation') <> 'read committed'
     or not pg_try_advisory_xact_lock(72331733, 2) then
    return;
  end if;
  if troupe.cut_jobs(p_span) then
    step := 'cut';
    return;
  end if;
  -- Locked: ages that are set meanwhile wait, and then have it looked through anew.
  select * into part from troupe.partition p where p.what = 'jobs' and p.looked_to is not null for update;
  if not found then
    for part in
      select * from troupe.partition p
       where p.what = 'jobs' and p.high <= newest and p.look_at <= now() order by p.look_at, p.low
    loop
      continue when (select j.created_at from troupe.job j where j.id >= part.low and j.id < part.high
                      order by j.id desc limit 1) > now() - shortest;
      low := part.low;
      exit;
    end loop;
    if low is null then
      return;
    end if;
    select * into part from troupe.partition p where p.what = 'jobs' and p.low = part.low for update;
    if not part.sealed then
      step := case when troupe.seal_jobs(part.low) then 'sealed' else 'busy' end;
      return;
    end if;
    delete from troupe.touched t where t.job_id >= part.low and t.job_id < part.high;
    delete from troupe.straggler s;
    part.looked_to := part.low; part.looked_jobs := 0;
  end if;

  low := part.low;
  step := 'looked';
  found_at := (select j.id from troupe.job j where j.id >= part.looked_to and j.id < part.high
                order by j.id limit 1);
  if found_at is not null then
    part.looked_to := least(part.high, found_at + p_chunk);
    part.looked_jobs := part.looked_jobs + troupe.look_through(found_at, part.looked_to);
  else
    part.looked_to := null;
  end if;
  select count(*), count(*) filter (where s.alive) into kept, alive from troupe.straggler s;
  if kept > most_kept or alive > most_alive
     or part.looked_to is null and kept > 0 and kept > part.looked_jobs / 10 then
    step := 'waits';
    part.looked_to := null;
    part.look_at := now() + least(greatest(shortest / 20, interval '1 minute'), interval '1 hour');
  elsif part.looked_to is null then
    step := troupe.swap_jobs(part.low, part.high, kept > 0);
    if step = 'moved' then -- only when all but a tenth of these have gone, too, it is worth it again
      part.look_at := now() + interval '1 hour';
    elsif step = 'busy' then
      part.look_at := now() + interval '1 minute';
    end if;
    dropped := case when step in ('moved', 'dropped') then part.looked_jobs - kept else 0 end;
  end if;
  update troupe.partition p
     set look_at = part.look_at, looked_to = part.looked_to, looked_jobs = part.looked_jobs
   where p.what = 'jobs' and p.low = part.low;
end $$;
