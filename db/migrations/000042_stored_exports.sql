-- Exports that are kept: the text of many jobs, made by a job of the kind troupe.export and stored in chunks, so that
-- every node serves it and a reader who was cut off goes on where he was.
--
-- A run writes its chunks under its own attempt, each in a transaction of its own, and what makes them a file is one
-- update in the transaction that writes the run's outcome. So a run that lost its lease makes no file, whatever it has
-- written; its chunks are nobody's, and swept.

create table troupe.export (
  job_id      bigint primary key,
  created_at  timestamptz not null default clock_timestamp(),
  args        jsonb not null, -- what was asked for; those of the job are for who looks at it, and may be edited
  -- Of the file, once there is one.
  attempt     smallint,
  bytes       bigint,
  rows        bigint,
  sha256      bytea check (octet_length(sha256) = 32),
  finished_at timestamptz,
  expires_at  timestamptz,
  over        boolean not null default false, -- it has no file, and no run will make one
  check ((attempt is null) = (bytes is null) and (attempt is null) = (rows is null)
         and (attempt is null) = (sha256 is null) and (attempt is null) = (finished_at is null)
         and (attempt is null) = (expires_at is null))
);
create index export_kept on troupe.export (job_id) where not over;
alter table troupe.export set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- Each has 256 KiB but the last. What is compressed is not compressed again, and a part of a chunk can be read alone.
create table troupe.export_chunk (
  job_id  bigint not null,
  attempt smallint not null,
  nth     int not null,
  bytes   bytea not null check (octet_length(bytes) between 1 and 262144),
  primary key (job_id, attempt, nth)
);
alter table troupe.export_chunk alter column bytes set storage external;
-- What is swept is a large part of the table; its room is for what comes next.
alter table troupe.export_chunk set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500,
  toast.autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_threshold = 50000);

-- The runs that have chunks, each with the bytes of its chunks, rounded up to whole ones. By leaps: a few of the
-- index's entries for each, however many chunks it has.
create function troupe.export_runs() returns table (job_id bigint, attempt smallint, chunks int, bytes bigint)
language sql volatile set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
  with recursive runs as (
    (select c.job_id, c.attempt from troupe.export_chunk c order by c.job_id, c.attempt limit 1)
    union all
    select n.job_id, n.attempt
      from runs r
      cross join lateral (
        select c.job_id, c.attempt from troupe.export_chunk c
         where (c.job_id, c.attempt, c.nth) > (r.job_id, r.attempt, 2147483647)
         order by c.job_id, c.attempt, c.nth limit 1) n)
  select r.job_id, r.attempt, l.nth + 1, (l.nth + 1) * 262144::bigint
    from runs r
    cross join lateral (
      select c.nth from troupe.export_chunk c where c.job_id = r.job_id and c.attempt = r.attempt
       order by c.nth desc limit 1) l;
$$;

-- How many were found to be over: expired, gone, or ended without a file.
create function troupe.end_exports() returns bigint
language sql volatile set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
  with ended as (
    update troupe.export e set over = true
     where not e.over
       and (e.expires_at <= clock_timestamp()
            or not exists (select from troupe.job j where j.id = e.job_id offset 0)
            or exists (select from troupe.attempt a
                        where a.job_id = e.job_id and a.outcome in (1, 2, 3) and not a.reopened
                          and (a.outcome <> 1 or e.attempt is distinct from a.attempt)
                       offset 0))
    returning 1)
  select count(*) from ended;
$$;

-- Puts the job in, unless so many exports are kept or waited for, or all of them have so many bytes. The key is an
-- Idempotency-Key or null, p_use as in troupe.open_requests: 2 is replayed, 3 refused.
create function troupe.start_export(
  p_args jsonb, p_key text, p_most int, p_most_bytes bigint, out job_id bigint, out use smallint)
returns record language plpgsql volatile set enable_seqscan = off as $$
#variable_conflict use_column
declare
  print constant bytea := sha256(convert_to('export ' || p_args::text, 'UTF8'));
begin
  select r.uses[1] into use from troupe.open_requests(array[p_key], array[print]) r;
  if use in (2, 3) then
    select i.ids[1] into job_id from troupe.idempotency i where i.key = p_key and use = 2;
    return;
  end if;
  perform pg_advisory_xact_lock(72331733, 6); -- of those who count exports
  if (select count(*) from troupe.export e where not e.over) >= p_most then
    perform troupe.end_exports();
    if (select count(*) from troupe.export e where not e.over) >= p_most then
      raise exception 'there are % exports, as many as are kept; delete one, or wait until one expires', p_most
        using errcode = 'TR409';
    end if;
  end if;
  if (select sum(r.bytes) from troupe.export_runs() r) >= p_most_bytes then
    raise exception 'the exports that are kept have % bytes or more; delete one, or wait until one expires',
      p_most_bytes using errcode = 'TR409';
  end if;
  job_id := troupe.enqueue('troupe.export', p_args, 'troupe.exports', max_attempts => 5);
  insert into troupe.export (job_id, args) values (job_id, p_args);
  perform troupe.close_requests(array[p_key], array[1], array[use], array[job_id], array[0]::smallint[]);
end $$;

-- What this run has to export; nothing when the job was not put in as an export, or the run is late.
create function troupe.begin_export(p_job bigint, p_attempt smallint) returns jsonb
language plpgsql volatile set enable_seqscan = off as $$
begin
  return (select e.args from troupe.export e
           where e.job_id = p_job
             and not exists (select from troupe.attempt a where a.job_id = p_job and a.attempt = p_attempt));
end $$;

-- What became of one more chunk: 'kept'; 'late', the run's outcome is written already, whoever did that; 'file', the
-- file has more bytes than one may have; 'sum', all have. The sum is looked at for every 4 MiB.
create function troupe.put_export_chunk(
  p_job bigint, p_attempt smallint, p_nth int, p_bytes bytea, p_most bigint, p_most_all bigint)
returns text language plpgsql volatile set enable_seqscan = off as $$
begin
  if troupe.begin_export(p_job, p_attempt) is null then
    return 'late';
  elsif p_nth * 262144::bigint + octet_length(p_bytes) > p_most then
    return 'file';
  elsif p_nth % 16 = 0
        and (select coalesce(sum(r.bytes), 0) from troupe.export_runs() r) + octet_length(p_bytes) > p_most_all then
    return 'sum';
  end if;
  insert into troupe.export_chunk (job_id, attempt, nth, bytes) values (p_job, p_attempt, p_nth, p_bytes);
  return 'kept';
end $$;

-- Makes the run's chunks the export's file, in the transaction that writes its outcome.
create function troupe.keep_export(
  p_job bigint, p_attempt smallint, p_bytes bigint, p_rows bigint, p_sha256 bytea, p_life interval)
returns void language plpgsql volatile set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  moment constant timestamptz := clock_timestamp();
begin
  if (select count(*) from troupe.export_chunk c where c.job_id = p_job and c.attempt = p_attempt)
     <> (p_bytes + 262143) / 262144 then
    raise exception 'chunks of export % are missing', p_job using errcode = 'TR409';
  end if;
  update troupe.export e
     set attempt = p_attempt, bytes = p_bytes, rows = p_rows, sha256 = p_sha256, finished_at = moment,
         expires_at = moment + p_life, over = false
   where e.job_id = p_job;
  if not found then
    raise exception 'there is no export %', p_job using errcode = 'TR404';
  end if;
end $$;

-- Bytes of a file from an offset on, at most so many, to the end of their chunk; null when they are not there.
create function troupe.read_export(p_job bigint, p_attempt smallint, p_from bigint, p_limit int) returns bytea
language sql stable set enable_seqscan = off set enable_bitmapscan = off as $$
  select substring(c.bytes from (p_from % 262144)::int + 1 for p_limit) from troupe.export_chunk c
   where c.job_id = p_job and c.attempt = p_attempt and c.nth = (p_from / 262144)::int;
$$;

-- Exports below an id, newest first, or the one of an id; those of one queue's jobs. What the file is, only while it is
-- there: `kept` is null before and false afterwards.
create function troupe.list_exports(p_before bigint, p_only bigint, p_queue text, p_limit int)
returns table (
  id bigint, created_at timestamptz, args jsonb, state text, attempt smallint, message text, error text,
  kept boolean, bytes bigint, rows bigint, sha256 bytea, finished_at timestamptz, expires_at timestamptz)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
declare
  ids constant bigint[] := array(
    select e.job_id from troupe.export e
     where e.job_id < p_before and (p_only is null or e.job_id = p_only)
       and (p_queue is null or e.args ->> 'queue' = p_queue)
       and exists (select from troupe.job j where j.id = e.job_id offset 0)
     order by e.job_id desc limit p_limit);
begin
  return query
  select e.job_id, e.created_at, e.args, j.state, (j.attempt + (j.state = 'running')::int)::smallint, p.message,
         (select a.error from troupe.attempt a where a.job_id = e.job_id and a.attempt = j.attempt),
         f.kept, case when f.kept then e.bytes end, case when f.kept then e.rows end,
         case when f.kept then e.sha256 end, case when f.kept then e.finished_at end,
         case when f.kept then e.expires_at end
    from troupe.jobs_of(ids) j
    join troupe.export e on e.job_id = j.id
    left join troupe.progress p on p.job_id = e.job_id
    cross join lateral (
      select case when j.state = 'completed'
                    then e.attempt is not distinct from j.attempt and e.expires_at > clock_timestamp() end as kept) f
   order by e.job_id desc;
end $$;

-- One step: what is over, and of one run whose chunks are no file's and that runs no more, or whose file has gone, the
-- last so many chunks; exports that are a week old and over, so many. How many chunks went. One node sweeps at a time.
create function troupe.sweep_exports(p_most int default 400) returns bigint
language plpgsql volatile set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  nobodys record;
  dropped bigint := 0;
begin
  if not pg_try_advisory_xact_lock(72331733, 7) then
    return 0;
  end if;
  perform troupe.end_exports();
  -- Outcome and file in one look: a run that ends meanwhile has both or neither.
  select r.job_id, r.attempt, r.chunks into nobodys from troupe.export_runs() r
   where not exists (select from troupe.export e where e.job_id = r.job_id and e.attempt = r.attempt and not e.over)
     and (exists (select from troupe.attempt a where a.job_id = r.job_id and a.attempt = r.attempt)
          or not exists (select from troupe.job j where j.id = r.job_id))
   order by r.job_id, r.attempt limit 1;
  if found then
    delete from troupe.export_chunk c
     where c.job_id = nobodys.job_id and c.attempt = nobodys.attempt and c.nth >= nobodys.chunks - p_most;
    get diagnostics dropped = row_count;
  end if;
  delete from troupe.export e
   where e.job_id in (select o.job_id from troupe.export o
                       where o.over and o.created_at < clock_timestamp() - interval '7 days'
                       order by o.job_id limit p_most);
  return dropped;
end $$;
