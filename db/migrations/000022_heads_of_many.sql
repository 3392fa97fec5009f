-- Operations on many jobs and edits, of jobs of ordered queues: a head has no entry in a lane, also when it
-- was made ready, moved or put off by these.

-- These are heads no more. A node may still have what is left of them.
create function troupe.leave_place(p_queues text[], p_jobs bigint[]) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off set jit = off as $$
begin
  with held as materialized (
    select q.name from troupe.queue q where q.name = any (p_queues) and q.head_job = any (p_jobs)
     order by q.name for no key update)
  update troupe.queue q set head_job = null, head_lease = null, others = q.others || q.head_lease
    from held h where q.name = h.name;
end $$;

-- As before, but a head that waits for its time is made ready by that alone.
create or replace function troupe.retry_jobs(p_jobs bigint[], p_low bigint, p_high bigint) returns bigint[] language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  live constant text[] := '{scheduled,available,running,retryable}';
  final bigint[];
  refused bigint[];
  jobs bigint[];
  attempts smallint[];
  ended bigint[];
  heads bigint[];
  queues text[];
begin
  final := array(select i from unnest(p_jobs) i
                  where not exists (select from troupe.deferred d where d.job_id = i offset 0));
  -- Of several that have one key the first takes it.
  with mine as materialized (
    select u.job_id, u.digest, coalesce(u.states, '{}') || live as states, k.job_id as holder
      from unnest(final) g(i)
      cross join lateral (
        select x.* from troupe.unique_job x
         where x.job_id = g.i and (x.ends_at is null or x.ends_at > clock_timestamp()) offset 0) u
      cross join lateral (select x.job_id from troupe.unique_key x where x.digest = u.digest offset 0) k),
  held as materialized (
    select s.id, s.state from troupe.standing(array(select distinct m.holder from mine m)) s),
  free as (
    select distinct on (m.digest) m.job_id, m.digest
      from mine m left join held h on h.id = m.holder
     where m.holder = m.job_id or h.id is null or h.state <> all (m.states)
     order by m.digest, m.job_id),
  taken as (
    update troupe.unique_key k set job_id = f.job_id from free f where k.digest = f.digest)
  select coalesce(array_agg(m.job_id), '{}') into refused
    from mine m where not exists (select from free f where f.job_id = m.job_id);
  with gone as (
    delete from troupe.deferred d where d.job_id = any (p_jobs) returning d.job_id, d.attempt),
  opened as (
    update troupe.attempt a set reopened = true
     where a.job_id = any (final) and a.job_id between p_low and p_high
       and a.job_id <> all (refused) and a.outcome in (1, 2, 3) and not a.reopened
    returning a.job_id, a.attempt)
  select array_agg(x.job_id order by x.job_id), array_agg(x.attempt order by x.job_id),
         coalesce(array_agg(x.job_id) filter (where x.was_over), '{}')
    into jobs, attempts, ended
    from (select g.job_id, g.attempt, false as was_over from gone g
          union all
          select o.job_id, (o.attempt + 1)::smallint, true from opened o) x;
  queues := array(select distinct j.queue from troupe.job j where j.id = any (jobs));
  heads := troupe.heads_among(queues, jobs);
  if heads && ended then -- one that had ended goes to the end of the line
    perform troupe.leave_place(queues, ended);
  end if;
  insert into troupe.ready (lane, job_id, attempt)
  select l.lane, x.i, x.a from unnest(jobs, attempts) x(i, a) join troupe.lanes_of(jobs) l on l.job_id = x.i
   where x.i <> all (heads) or x.i = any (ended)
   order by x.i;
  perform troupe.wake(queues);
  return coalesce(jobs, '{}');
end $$;

-- As before, but a head that stays in its queue needs no entry: it is next whatever its priority. One that is
-- moved away lets the next one start.
create or replace function troupe.change_lanes(p_jobs bigint[], p_queues text[], p_priorities smallint[],
                                    p_available bigint[], p_entries smallint[], p_note text)
returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  lanes int[];
  heads bigint[]; -- which stay where they are
  away bigint[];
begin
  lanes := array(select l.lane from unnest(p_jobs) with ordinality g(i, o)
                   join troupe.lanes_of(p_jobs) l on l.job_id = g.i order by g.o);
  update troupe.deferred d set lane = x.lane from unnest(p_jobs, lanes) x(i, lane) where d.job_id = x.i;
  heads := troupe.heads_among(p_queues, p_jobs);
  if heads <> '{}' then
    away := array(select x.i from unnest(p_jobs, p_queues) x(i, q) join troupe.job j on j.id = x.i
                   where x.i = any (heads) and j.queue <> x.q);
    perform troupe.leave_place(p_queues, away);
    heads := array(select i from unnest(heads) i where i <> all (away));
  end if;
  with moved as materialized (
    select x.i, x.q, x.p, x.lane, e.a from unnest(p_jobs, p_queues, p_priorities, lanes) x(i, q, p, lane)
      join unnest(p_available, p_entries) e(i, a) on e.i = x.i
     where x.i <> all (heads)),
  noted as (
    insert into troupe.attempt (job_id, attempt, outcome, reopened, error)
    select m.i, m.a, 2, true, p_note from moved m),
  taken as (
    insert into troupe.revoked (job_id, attempt, queue, priority)
    select m.i, m.a, m.q, m.p from moved m on conflict do nothing)
  insert into troupe.ready (lane, job_id, attempt)
  select m.lane, m.i, m.a + 1 from moved m order by m.i;
  perform troupe.wake(array(select j.queue from troupe.job j where j.id = any (p_available)));
end $$;

-- As before, but a head has nothing to take back: it waits for its time in its place.
create or replace function troupe.put_off(p_job bigint, p_due timestamptz, p_queue text, p_priority smallint)
returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  current constant smallint := (select s.attempt from troupe.standing(array[p_job]) s) + 1;
begin
  if troupe.heads_among(array[p_queue], array[p_job]) <> '{}' then
    if exists (select from troupe.job j where j.id = p_job and j.queue = p_queue) then
      -- It has no entry that could be met, and holds its place.
      insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
      select p_job, p_due, l.lane, current, 1 from troupe.lanes_of(array[p_job]) l;
      perform troupe.wake_for_deferred(array[p_queue], array[p_due], null);
      return;
    end if;
    perform troupe.leave_place(array[p_queue], array[p_job]);
  end if;
  insert into troupe.attempt (job_id, attempt, outcome, reopened, error)
  values (p_job, current, 2, true, 'put off while it waited');
  insert into troupe.revoked (job_id, attempt, queue, priority)
  values (p_job, current, p_queue, p_priority) on conflict do nothing;
  insert into troupe.deferred (job_id, due_at, lane, attempt, reason)
  select p_job, p_due, l.lane, current + 1, 1 from troupe.lanes_of(array[p_job]) l;
  perform troupe.wake_for_deferred(array[p_queue], array[p_due], null);
  perform troupe.drop_parked(array[p_job]);
end $$;

-- As before, but a head needs no entry.
create or replace function troupe.edit(job bigint, changes jsonb) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = on set enable_mergejoin = off
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
declare
  p_job constant bigint := job;
  name constant text := '^[A-Za-z0-9._:-]{1,128}$';
  field text;
  given jsonb;
  fault text;
  at timestamptz;
  mine troupe.unique_job;
  key bytea;
  old troupe.job;
  new troupe.job;
  now_in text;
  entry smallint; -- the attempt that it waits for
  lane_id int;
  holder bigint;
  held text;
begin
  if jsonb_typeof(changes) is distinct from 'object' or changes = '{}' then
    raise exception 'changes must be an object with at least one field' using errcode = 'TR400';
  end if;
  for field, given in select * from jsonb_each(changes) loop
    fault := case field
      when 'args' then case when pg_column_size(given) > 2097152 then 'must have at most 2 MiB' end
      when 'queue' then
        case when (jsonb_typeof(given) = 'string' and given #>> '{}' ~ name) is not true
             then 'must be 1 to 128 of A-Z a-z 0-9 . _ : -' end
      when 'priority' then
        case when jsonb_typeof(given) <> 'number' or given not in ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
             then 'must be 0 to 9' end
      when 'max_attempts' then
        case when jsonb_typeof(given) <> 'number' then 'must be 1 to 1000'
             when given::numeric <> trunc(given::numeric) or given::numeric not between 1 and 1000
               then 'must be 1 to 1000' end
      when 'timeout_ms' then
        case when jsonb_typeof(given) = 'null' then null
             when jsonb_typeof(given) <> 'number' then 'must be 1 to 604800000 or null'
             when given::numeric <> trunc(given::numeric) or given::numeric not between 1 and 604800000
               then 'must be 1 to 604800000 or null' end
      when 'tags' then
        case when jsonb_typeof(given) <> 'array' then 'must be at most 32 texts of 1 to 255 bytes'
             when jsonb_array_length(given) > 32
                  or exists (select from jsonb_array_elements(given) g
                              where jsonb_typeof(g) <> 'string' or octet_length(g #>> '{}') not between 1 and 255)
               then 'must be at most 32 texts of 1 to 255 bytes' end
      when 'run_at' then
        case when jsonb_typeof(given) not in ('string', 'null') then 'must be a time or null' end
      else 'no such field; there are args, priority, queue, max_attempts, timeout_ms, tags, run_at' end;
    if fault is null and field = 'run_at' and given <> 'null' then
      begin
        at := (given #>> '{}')::timestamptz;
      exception when others then
        fault := 'must be a time or null';
      end;
      if at not between now() - interval '3650 days' and now() + interval '3650 days' then
        fault := 'must lie within ten years';
      end if;
    end if;
    if fault is not null then
      raise exception '% %', left(field, 64), fault using errcode = 'TR400';
    end if;
  end loop;
  if at <= clock_timestamp() then
    at := null;
  end if;

  -- Keys first, then the job, what waits for its time, and the lanes: one order for everybody.
  select * into mine from troupe.unique_job u
    where u.job_id = p_job and (u.ends_at is null or u.ends_at > clock_timestamp());
  if found and (changes ? 'queue' or changes ? 'args') then
    if mine.rule is null then
      raise exception 'job % has a unique key of which is not known whether it has to change', p_job
        using errcode = 'TR409';
    end if;
    select troupe.unique_digest_in(j.kind, coalesce(changes ->> 'queue', j.queue),
                                   coalesce(changes -> 'args', j.args), mine.rule, mine.ends_at)
      into key from troupe.job j where j.id = p_job;
    perform troupe.hold_keys(array[mine.digest, key]);
  end if;
  perform troupe.hold_waiting(array[p_job]);
  select * into old from troupe.job j where j.id = p_job;
  if not found then
    raise exception 'there is no job %', p_job using errcode = 'TR404';
  end if;
  select s.state, s.attempt + 1 into now_in, entry from troupe.standing(array[p_job]) s;
  if now_in not in ('scheduled', 'available', 'retryable') then
    raise exception 'job % is % and waits no more', p_job, now_in using errcode = 'TR409';
  end if;
  perform from troupe.deferred d where d.job_id = p_job for update;
  if not found and now_in <> 'available' then -- failed, and was due, just now
    raise exception 'job % has changed meanwhile', p_job using errcode = '40001';
  end if;
  if key is not null
     and (key <> troupe.unique_digest_in(old.kind, coalesce(changes ->> 'queue', old.queue),
                                            coalesce(changes -> 'args', old.args), mine.rule, mine.ends_at)
          or mine.digest <> (select u.digest from troupe.unique_job u where u.job_id = p_job)) then
    raise exception 'job % has changed meanwhile', p_job using errcode = '40001';
  end if;
  if key <> mine.digest then
    select k.job_id into holder from troupe.unique_key k where k.digest = key;
    held := (select s.state from troupe.standing(array[holder]) s);
    if holder <> p_job and held = any (coalesce(mine.states, '{scheduled,available,running,retryable}')) then
      raise exception 'job % has the same unique key and is %', holder, held using errcode = 'TR409';
    end if;
    update troupe.unique_key k set job_id = p_job where k.digest = key;
    delete from troupe.unique_key k where k.digest = mine.digest and k.job_id in (p_job, 0);
    update troupe.unique_job u set digest = key where u.job_id = p_job;
  elsif key is not null then
    delete from troupe.unique_key k where k.digest = mine.digest and k.job_id = 0;
  end if;
  update troupe.job j
     set args = coalesce(changes -> 'args', j.args),
         queue = coalesce(changes ->> 'queue', j.queue),
         priority = coalesce((changes ->> 'priority')::smallint, j.priority),
         max_attempts = coalesce((changes ->> 'max_attempts')::smallint, j.max_attempts),
         timeout_ms = case when changes ? 'timeout_ms' then (changes ->> 'timeout_ms')::bigint
                           else j.timeout_ms end,
         tags = case when changes ? 'tags'
                     then nullif(array(select jsonb_array_elements_text(changes -> 'tags')), '{}')
                     else j.tags end,
         run_at = case when changes ? 'run_at' then at else j.run_at end
   where j.id = p_job
  returning * into new;
  perform troupe.open_lanes(array[new.queue], array[new.priority]);
  if changes ? 'run_at' and at is not null and now_in = 'available' then
    perform troupe.put_off(p_job, at, old.queue, old.priority);
    return;
  end if;
  if (new.queue, new.priority) <> (old.queue, old.priority) then
    perform troupe.change_lanes(
      array[p_job], array[old.queue], array[old.priority],
      case now_in when 'available' then array[p_job] end, array[entry], 'edited while it waited');
    perform troupe.drop_parked(array[p_job]);
  end if;
  if at is not null then
    update troupe.deferred d set due_at = at where d.job_id = p_job;
    perform troupe.wake_for_deferred(array[new.queue], array[at], null);
  elsif changes ? 'run_at' then
    delete from troupe.deferred d where d.job_id = p_job returning d.attempt, d.lane into entry, lane_id;
    if lane_id is not null and troupe.heads_among(array[new.queue], array[p_job]) = '{}' then
      insert into troupe.ready (lane, job_id, attempt) values (lane_id, p_job, entry);
    end if;
    perform troupe.wake(array[new.queue]);
  end if;
end $$;
