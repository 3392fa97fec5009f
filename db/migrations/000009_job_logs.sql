-- What runs say while they go on: progress and log lines, outside of the job's row, in partitions of the
-- same jobs. Written while the lease holds and no outcome is there, so that a run which was taken away
-- adds nothing to what its successor says.

-- The last word of a job's runs.
create table troupe.progress (
  job_id     bigint primary key,
  updated_at timestamptz not null default now(),
  percent    double precision check (percent between 0 and 100),
  attempt    smallint not null,
  message    text not null default '' check (octet_length(message) <= 1000)
) partition by range (job_id);

-- level: 1 debug, 2 info, 3 warn, 4 error.
create table troupe.job_log (
  job_id  bigint not null,
  seq     bigint generated always as identity,
  at      timestamptz not null,
  attempt smallint not null,
  level   smallint not null check (level between 1 and 4),
  line    text not null check (octet_length(line) <= 8192),
  primary key (job_id, seq)
) partition by range (job_id);

create table troupe.progress_rest partition of troupe.progress default;
create table troupe.job_log_rest partition of troupe.job_log default;

do $$
declare
  each troupe.partition;
  name text;
begin
  for each in select * from troupe.partition where what = 'jobs' loop
    foreach name in array array['progress', 'job_log'] loop
      execute format('create table troupe.%I partition of troupe.%I for values from (%s) to (%s)',
                     name || '_' || each.low, name, each.low, each.high);
    end loop;
  end loop;
end $$;

-- As in 000001, with these two beside the jobs.
create or replace function troupe.make_partitions(p_size bigint default 5000000, p_ahead int default 2)
returns int language plpgsql set lock_timeout = '300ms' as $$
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
    if top <= newest then -- the rest partition holds rows from here on: begin above them
      top := newest + 1;
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

-- However a job is deleted, what its runs said goes with it. A run that was cancelled may hold its lease
-- yet: what is being said of it at this moment is waited for, so that none of it is left.
create function troupe.drop_reports() returns trigger language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  perform from troupe.lease l where l.jobs @> array[old.id] order by l.id for update;
  delete from troupe.progress where job_id = old.id;
  delete from troupe.job_log where job_id = old.id;
  return null;
end $$;
create trigger drop_reports after delete on troupe.job
  for each row execute function troupe.drop_reports();

-- Of each of these runs whether it still holds its lease and has no outcome; a deleted job has none any
-- more. Holds the leases until the end of the transaction: who takes one away waits.
create function troupe.live_runs(p_leases bigint[], p_jobs bigint[], p_attempts smallint[])
returns boolean[] language plpgsql
set plan_cache_mode = force_generic_plan set enable_bitmapscan = off set enable_hashjoin = off
set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  perform from troupe.lease l where l.id = any (p_leases) order by l.id for key share;
  return (
    select array_agg(coalesce(l.attempts[array_position(l.jobs, u.job)] = u.attempt, false)
                     and exists (select from troupe.job j where j.id = u.job)
                     and not exists (select from troupe.attempt a
                                      where a.job_id = u.job and a.attempt = u.attempt)
                     order by u.nth)
      from unnest(p_leases, p_jobs, p_attempts) with ordinality u(lease, job, attempt, nth)
      left join troupe.lease l on l.id = u.lease);
end $$;

-- Progress of some runs and lines of some. Returns the jobs of which something was not stored.
create function troupe.record_reports(
  p_leases bigint[], p_jobs bigint[], p_attempts smallint[], p_percents double precision[],
  p_messages text[], l_leases bigint[], l_jobs bigint[], l_attempts smallint[], l_levels smallint[],
  l_agos_ms bigint[], l_lines text[])
returns bigint[] language plpgsql
set plan_cache_mode = force_generic_plan set enable_bitmapscan = off set enable_hashjoin = off
set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
  p_live boolean[];
  l_live boolean[];
begin
  if cardinality(p_jobs) > 0 then
    p_live := troupe.live_runs(p_leases, p_jobs, p_attempts);
    insert into troupe.progress (job_id, attempt, percent, message)
    select distinct on (u.job) u.job, u.attempt, u.percent, coalesce(u.message, '')
      from unnest(p_jobs, p_attempts, p_percents, p_messages, p_live) with ordinality
             u(job, attempt, percent, message, live, nth)
     where u.live
     order by u.job, u.nth desc
    on conflict (job_id) do update
       set updated_at = excluded.updated_at, percent = excluded.percent, attempt = excluded.attempt,
           message = excluded.message;
  end if;
  if cardinality(l_jobs) > 0 then
    l_live := troupe.live_runs(l_leases, l_jobs, l_attempts);
    insert into troupe.job_log (job_id, at, attempt, level, line)
    select u.job, clock_timestamp() - u.ago_ms * interval '1 ms', u.attempt, u.level, u.line
      from unnest(l_jobs, l_attempts, l_levels, l_agos_ms, l_lines, l_live) with ordinality
             u(job, attempt, level, ago_ms, line, live, nth)
     where u.live
     order by u.nth;
  end if;
  return (select coalesce(array_agg(distinct u.job), '{}')
            from unnest(p_jobs || l_jobs, p_live || l_live) u(job, live) where not u.live);
end $$;

create function troupe.progress_of(p_job bigint)
returns table (percent double precision, message text, attempt smallint, updated_at timestamptz)
language plpgsql stable rows 1
set plan_cache_mode = force_generic_plan set enable_bitmapscan = off set enable_seqscan = off set jit = off
as $$
begin
  return query
  select p.percent, p.message, p.attempt, p.updated_at from troupe.progress p where p.job_id = p_job;
end $$;

create function troupe.list_log(p_job bigint, p_after bigint, p_limit bigint)
returns table (seq bigint, at timestamptz, attempt smallint, level smallint, line text)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_bitmapscan = off set enable_hashjoin = off
set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  if not exists (select from troupe.job j where j.id = p_job) then
    raise exception 'there is no job %', p_job using errcode = 'TR404';
  end if;
  return query
  select l.seq, l.at, l.attempt, l.level, l.line from troupe.job_log l
   where l.job_id = p_job and l.seq > p_after order by l.seq limit p_limit;
end $$;

-- -- the contract: for workers in any language -----------------------------------------------------
-- Both return false when the lease is gone or the attempt has an outcome: the run is to be stopped.

create function troupe.report_progress(lease bigint, job bigint, attempt int,
                                       percent double precision default null, message text default '')
returns boolean language sql as $$
  select troupe.record_reports(array[$1], array[$2], array[$3::smallint], array[$4], array[$5],
                               '{}', '{}', '{}', '{}', '{}', '{}') = '{}';
$$;

create function troupe.log(lease bigint, job bigint, attempt int, line text, level int default 2)
returns boolean language sql as $$
  select troupe.record_reports('{}', '{}', '{}', '{}', '{}', array[$1], array[$2], array[$3::smallint],
                               array[$5::smallint], array[0::bigint], array[$4]) = '{}';
$$;
