-- From what to what: an object of the settings that are not as before, {"concurrency": {"from": null, "to": 3}};
-- null: the action says all. Of a job's args only that they have changed, {"args": {}}: entries outlive jobs.
alter table troupe.audit add column changes jsonb;

create function troupe.differences(p_before jsonb, p_after jsonb) returns jsonb language sql immutable as $$
  select coalesce(jsonb_object_agg(key, jsonb_build_object('from', coalesce(b.value, 'null'),
                                                           'to', coalesce(a.value, 'null')) order by key), '{}')
    from jsonb_each(p_before) b full join jsonb_each(p_after) a using (key)
   where coalesce(b.value, 'null') <> coalesce(a.value, 'null');
$$;

create function troupe.note_change(p_token bigint, p_who text, p_request text, p_action text, p_subject text,
                                   p_changes jsonb)
returns void language sql volatile as $$
  insert into troupe.audit (token, who, action, subject, request, changes)
  select p_token, p_who, p_action, p_subject, coalesce(p_request, ''), p_changes where p_who <> '';
$$;

create function troupe.told_time(p_at timestamptz) returns text language sql stable as $$
  select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
$$;

-- By the names of the API. Looked up anew whenever it is asked, also within one statement; null: nobody has said
-- anything of the queue.
create function troupe.limits_of(p_queue text) returns jsonb language plpgsql volatile set enable_seqscan = off as $$
begin
  return (
    select jsonb_build_object(
             'concurrency', q.concurrency, 'key_concurrency', q.key_concurrency, 'max_waiting', q.max_waiting,
             'ordered', q.ordered,
             'rate', case when q.rate is not null then jsonb_build_object(
                       'jobs', q.rate, 'period_ms', q.rate_period_ms, 'burst', q.rate_burst) end,
             'key_rate', case when q.key_rate is not null then jsonb_build_object(
                           'jobs', q.key_rate, 'period_ms', q.key_rate_period_ms, 'burst', q.key_rate_burst) end)
      from troupe.queue q where q.name = p_queue);
end $$;

-- The same; and until its end nobody else's change that is noted begins, so that each says from what the one
-- before it left.
create function troupe.hold_limits(p_queue text) returns jsonb language plpgsql volatile as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('limits of ' || p_queue, 72331733));
  return coalesce(troupe.limits_of(p_queue), '{"ordered": false}');
end $$;

-- How long jobs of the queue are kept, be it as all others.
create function troupe.told_ages(p_queue text) returns jsonb language sql volatile set enable_seqscan = off as $$
  select to_jsonb(a) - 'queue' from troupe.retention r, lateral troupe.ages_of(r.queue) a
   where r.queue in ('', p_queue) order by r.queue desc limit 1;
$$;
select troupe.edit_function('change_ages', 'OUT discarded_ms bigint)', 'OUT discarded_ms bigint, OUT changed jsonb)');
select troupe.edit_function('change_ages', '
  select array[r.completed', '
  changed := troupe.told_ages(p_queue);
  select array[r.completed');
select troupe.edit_function('change_ages', 'troupe.ages_of(p_queue) a;', 'troupe.ages_of(p_queue) a;
  changed := troupe.differences(changed, troupe.told_ages(p_queue));');
select troupe.edit_function('forget_ages', 'OUT discarded_ms bigint)', 'OUT discarded_ms bigint, OUT changed jsonb)');
select troupe.edit_function('forget_ages', '
  perform troupe.retain_as_others(p_queue);', '
  changed := troupe.told_ages(p_queue);
  perform troupe.retain_as_others(p_queue);
  changed := troupe.differences(changed, troupe.told_ages(p_queue));');

create function troupe.settings_of(j troupe.job) returns jsonb language sql stable as $$
  select jsonb_build_object('queue', j.queue, 'priority', j.priority, 'max_attempts', j.max_attempts,
                            'timeout_ms', j.timeout_ms, 'tags', coalesce(to_jsonb(j.tags), '[]'),
                            'run_at', troupe.told_time(j.run_at));
$$;

-- What goes with a job that is deleted.
create function troupe.last_words(p_job bigint) returns jsonb language sql stable
set enable_seqscan = off set jit = off as $$
  select troupe.differences(jsonb_build_object('kind', j.kind, 'queue', j.queue), '{}')
    from troupe.job j where j.id = p_job;
$$;

-- As troupe.edit, and says what it has changed.
alter function troupe.edit(bigint, jsonb) rename to edit_job;
select troupe.edit_function('edit_job', 'changes jsonb)
 RETURNS void', 'changes jsonb, OUT changed jsonb)
 RETURNS jsonb');
select troupe.edit_function('edit_job', '
  returning * into new;', '
  returning * into new;
  changed := troupe.differences(troupe.settings_of(old), troupe.settings_of(new))
             || case when new.args is distinct from old.args then ''{"args": {}}'' else ''{}'' end::jsonb;');
create function troupe.edit(job bigint, changes jsonb) returns void language sql as $$
  select troupe.edit_job(job, changes);
$$;
