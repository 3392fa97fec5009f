-- An operation on many jobs that has to read large args takes its time in parts, and a step that took too long
-- goes behind the others.
select troupe.edit_function('bulk_candidates', $old$
  part constant int := 500; -- rows at a time
$old$, $new$
  part constant int := 500; -- rows at a time
  ends constant timestamptz := clock_timestamp() + interval '1 second'; -- not for the first part
$new$);
select troupe.edit_function('bulk_candidates', $old$
  while cardinality(jobs) < p_limit and looked < p_looks and reached < op.up_to loop
$old$, $new$
  while cardinality(jobs) < p_limit and looked < p_looks and reached < op.up_to
        and (looked = 0 or clock_timestamp() < ends) loop
$new$);
select troupe.edit_function('bulk_preview', $old$
  looks int := 200000;
$old$, $new$
  looks int := 200000;
  ends constant timestamptz := clock_timestamp() + interval '3 seconds';
$new$);
select troupe.edit_function('bulk_preview', $$or matched > 10000;$$,
                            $$or matched > 10000 or clock_timestamp() >= ends;$$);
-- `others` leaves out what a statement_timeout says.
select troupe.edit_function('bulk_step', 'exception when others then', 'exception when query_canceled or others then');

-- What any list takes as a filter, in the form in which it is kept here, which may be six times as long.
select troupe.edit_function('bulk_asked', $old$pg_column_size(given) > 8192
                    then 'must be an object with at least one member, of at most 8 kB' end$old$,
  $new$pg_column_size(given) > 32768
                    then 'must be an object with at least one member, of at most 32 kB' end$new$);

-- A life that another node has ended hears what was asked of it: the next life of its process goes on with that.
select troupe.edit_function('beat', 'coalesce((select m.wanted is not null from mine m), false) as draining;',
  'coalesce((select m.wanted is not null from mine m),
                  (select n.wanted is not null from troupe.node n where n.id = p_node), false) as draining;');

-- An array need not begin at 1.
select troupe.edit_function('enqueue_many', $old$
          or p_queues[1] <> any (p_queues) and array_to_string(p_queues, ' ') ~ '(^| )troupe[.]') then
$old$, $new$
          or (p_queues[1] = all (p_queues)) is not true and array_to_string(p_queues, ' ') ~ '(^| )troupe[.]') then
$new$);
