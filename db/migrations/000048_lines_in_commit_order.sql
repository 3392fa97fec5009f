-- Lines of a job's log are numbered in the order in which their transactions commit: whoever goes on after the
-- last line he has seen misses none. A number is drawn under a lock on the run's lease, which is held until the
-- transaction has ended. What the engine writes is one statement, so it is locked there and then. A worker's own
-- transaction may last, and must hold up nobody: what it says (troupe.log) is a draft until its commit.

-- No transaction sees another one's drafts: they are written and deleted by the same one.
create table troupe.log_draft (
  xact    xid8 not null default pg_current_xact_id(),
  id      bigint generated always as identity,
  lease   bigint not null,
  job_id  bigint not null,
  at      timestamptz not null default clock_timestamp(),
  attempt smallint not null,
  level   smallint not null check (level between 1 and 4),
  line    text not null check (octet_length(line) <= 8192),
  primary key (xact, id)
);

-- Comes at the commit for each draft. The first numbers them all, with their leases locked in order, so that no two
-- commits wait for each other; the others find nothing more to do. Which of them are still there is asked by key:
-- the range would read all those that are not. A lease that is gone was deleted by this transaction, which
-- nobody else writes lines with any more; so was a job that is gone.
create function troupe.number_drafts() returns trigger language plpgsql
set plan_cache_mode = force_generic_plan set enable_bitmapscan = off set enable_hashjoin = off
set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  if not exists (select from troupe.log_draft d where d.xact = new.xact and d.id = new.id) then
    return null;
  end if;
  perform from troupe.lease l
    where l.id = any (array(select distinct d.lease from troupe.log_draft d
                             where d.xact = new.xact and d.id >= new.id))
    order by l.id for no key update;
  with own as (
    delete from troupe.log_draft d where d.xact = new.xact and d.id >= new.id returning d.*)
  insert into troupe.job_log (job_id, at, attempt, level, line)
  select o.job_id, o.at, o.attempt, o.level, o.line from own o
   where exists (select from troupe.job j where j.id = o.job_id)
   order by o.id;
  return null;
end $$;
create constraint trigger number_drafts after insert on troupe.log_draft
  deferrable initially deferred for each row execute function troupe.number_drafts();

-- The leases are held by who asks.
select troupe.edit_function('live_runs', $old$
  perform from troupe.lease l where l.id = any (p_leases) order by l.id for key share;
$old$, '
');
select troupe.edit_function('record_reports', $old$
    p_live := troupe.live_runs(p_leases, p_jobs, p_attempts);
$old$, $new$
    perform from troupe.lease l where l.id = any (p_leases) order by l.id for key share;
    p_live := troupe.live_runs(p_leases, p_jobs, p_attempts);
$new$);
select troupe.edit_function('record_reports', $old$
    l_live := troupe.live_runs(l_leases, l_jobs, l_attempts);
$old$, $new$
    perform from troupe.lease l where l.id = any (l_leases) order by l.id for no key update;
    l_live := troupe.live_runs(l_leases, l_jobs, l_attempts);
$new$);

create or replace function troupe.log(lease bigint, job bigint, attempt int, line text, level int default 2)
returns boolean language plpgsql
set plan_cache_mode = force_generic_plan set enable_bitmapscan = off set enable_hashjoin = off
set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
begin
  perform from troupe.lease l where l.id = $1 for key share;
  if not (troupe.live_runs(array[$1], array[$2], array[$3::smallint]))[1] then
    return false;
  end if;
  insert into troupe.log_draft (lease, job_id, attempt, level, line) values ($1, $2, $3, $5, $4);
  return true;
end $$;
