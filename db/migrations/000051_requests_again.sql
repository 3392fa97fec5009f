-- Operations on many jobs are begun once for an idempotency key, as jobs and exports are. `use` as of
-- troupe.open_requests: 2 is the operation of the first time, 3 is none.
create function troupe.bulk_once(action text, filter jsonb, ids bigint[], to_queue text, to_priority integer,
                                 created_by text, p_key text, out operation bigint, out use smallint)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_variable
declare
  print constant bytea := sha256(convert_to(
    'bulk ' || jsonb_build_array(action, filter, ids, to_queue, to_priority)::text, 'UTF8'));
begin
  use := 0;
  if p_key is not null then
    select r.uses[1] into use from troupe.open_requests(array[p_key], array[print]) r;
    if use in (2, 3) then
      operation := (select i.ids[1] from troupe.idempotency i where i.key = p_key and use = 2);
      return;
    end if;
  end if;
  operation := troupe.bulk(action, filter, ids, to_queue, to_priority, created_by);
  if p_key is not null then
    perform troupe.close_requests(array[p_key], array[1], array[use], array[operation], array[0]::smallint[]);
  end if;
end $$;

-- A key whose export was deleted asks for a new one: there is nothing left to answer with.
select troupe.edit_function('start_export', $old$
  if use in (2, 3) then
$old$, $new$
  if use = 2 and not exists (select from troupe.idempotency i join troupe.job j on j.id = i.ids[1]
                              where i.key = p_key) then
    delete from troupe.idempotency i where i.key = p_key;
    select r.uses[1] into use from troupe.open_requests(array[p_key], array[print]) r;
  end if;
  if use in (2, 3) then
$new$);

-- A megabyte of JSON has up to six of these bytes (`[1,1,...]`), and none of it is to be refused here.
alter table troupe.job drop constraint job_args_check;
alter table troupe.job add constraint job_args_check check (pg_column_size(args) <= 8388608);
select troupe.edit_function('edit',
  $$pg_column_size(given) > 2097152 then 'must have at most 2 MiB'$$,
  $$pg_column_size(given) > 8388608 then 'must take at most 8 MiB in the database'$$);

-- Whatever was to run later and is made to run now shows that time, and not the later or the first one.
select troupe.edit_function('edit', $$case when changes ? 'run_at' then at else j.run_at end$$,
                            $$case when changes ? 'run_at' then coalesce(at, clock_timestamp()) else j.run_at end$$);
select troupe.edit_function('retry', $old$
  -- One that had ended goes to the end of the line.$old$, $new$
  if j.run_at > clock_timestamp() then
    update troupe.job x set run_at = clock_timestamp() where x.id = p_job;
  end if;
  -- One that had ended goes to the end of the line.$new$);
select troupe.edit_function('retry_jobs', $old$
  queues := array(select distinct j.queue from troupe.job j where j.id = any (jobs));
$old$, $new$
  update troupe.job j set run_at = clock_timestamp() where j.id = any (jobs) and j.run_at > clock_timestamp();
  queues := array(select distinct j.queue from troupe.job j where j.id = any (jobs));
$new$);
