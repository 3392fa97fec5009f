-- -- spans of runs of workers by HTTP ------------------------------------------------------------------

-- Who ends runs may ask (`p_tell`) what a span says of those that were the node's until now: for how many
-- milliseconds, which outcome is stored (0: none, it was snoozed), queue, kind and trace. Arrays side by side, null
-- unless asked for. What an earlier request has ended already, whose answer was lost, is not told again.
select troupe.remake_function('end_runs', array[
  'p_waits_ms bigint[], OUT', 'p_waits_ms bigint[], p_tell boolean DEFAULT false, OUT',
  'OUT steered text[])', 'OUT steered text[], OUT told_jobs bigint[], OUT told_ms bigint[], '
                         'OUT told_outcomes smallint[], OUT told_queues text[], OUT told_kinds text[], '
                         'OUT told_traces text[])',
  '  end if;
  fates := array(', '    if p_tell then
      select array_agg(j.id), array_agg(u.ago), array_agg(coalesce(t.outcome, 0::smallint)), array_agg(j.queue),
             array_agg(j.kind), array_agg(coalesce(j.meta ->> ''traceparent'', ''''))
        into told_jobs, told_ms, told_outcomes, told_queues, told_kinds, told_traces
        from unnest(m.jobs, m.attempts, m.agos) u(i, a, ago)
        join troupe.job j on j.id = u.i
        left join troupe.attempt t on t.job_id = u.i and t.attempt = u.a
       where t.outcome is null or t.outcome = 2 or t.finished_at = now();
    end if;
  end if;
  fates := array(']);

select troupe.remake_function('finish_by_worker', array[
  'p_waits_ms bigint[], OUT', 'p_waits_ms bigint[], p_tell boolean DEFAULT false, OUT',
  'OUT steered text[])', 'OUT steered text[], OUT told_jobs bigint[], OUT told_ms bigint[], '
                         'OUT told_outcomes smallint[], OUT told_queues text[], OUT told_kinds text[], '
                         'OUT told_traces text[])',
  'select e.fates, e.next_ms, e.steered into fates, next_ms, steered
', 'select e.fates, e.next_ms, e.steered, e.told_jobs, e.told_ms, e.told_outcomes, e.told_queues, e.told_kinds,
         e.told_traces
    into fates, next_ms, steered, told_jobs, told_ms, told_outcomes, told_queues, told_kinds, told_traces
',
  'p_errors, p_waits_ms) e;', 'p_errors, p_waits_ms, p_tell) e;']);
