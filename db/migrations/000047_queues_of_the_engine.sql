-- Queues whose names begin with "troupe." are the engine's own: what is in them was put in by the engine, and its nodes
-- alone run it. Nobody else puts a job into one, moves one there or claims from one.

create function troupe.check_own_queue(p_queue text) returns void language plpgsql as $$
begin
  if p_queue ^@ 'troupe.' then
    raise exception 'queue must not begin with "troupe.": such queues are the engine''s own' using errcode = 'TR400';
  end if;
end $$;

select troupe.edit_function('enqueue_many', $old$p_traceparents text[] DEFAULT NULL::text[])$old$,
                            $new$p_traceparents text[] DEFAULT NULL::text[], p_own boolean DEFAULT false)$new$);
select troupe.edit_function('enqueue_many', $old$
  if p_traceparents <> '{}' then -- a function below would cost those without, too
$old$, $new$
  if not p_own
     and (p_queues[1] ^@ 'troupe.'
          or p_queues[1] <> any (p_queues) and array_to_string(p_queues, ' ') ~ '(^| )troupe[.]') then
    perform troupe.check_own_queue('troupe.');
  end if;
  if p_traceparents <> '{}' then -- a function below would cost those without, too
$new$);
select troupe.edit_function('enqueue_here', $old$
    free := p_queues[1] = all (p_queues)
$old$, $new$
    free := p_queues[1] = all (p_queues)
      and not p_queues[1] ^@ 'troupe.'
$new$);
select troupe.edit_function('start_export', $old$
  job_id := troupe.enqueue('troupe.export', p_args, 'troupe.exports', max_attempts => 5);
$old$, $new$
  job_id := (troupe.enqueue_many(array['troupe.export'], array['troupe.exports'], array[p_args], array[0::smallint],
                                 array[5::smallint], p_own => true))[1];
$new$);
select troupe.edit_function('edit', $old$
             then 'must be 1 to 128 of A-Z a-z 0-9 . _ : -' end
$old$, $new$
             then 'must be 1 to 128 of A-Z a-z 0-9 . _ : -'
             when given #>> '{}' ^@ 'troupe.'
             then 'must not begin with "troupe.": such queues are the engine''s own' end
$new$);
select troupe.edit_function('bulk_asked', $old$
    when p_to_queue !~ name then 'to.queue must be 1 to 128 of A-Z a-z 0-9 . _ : -'
$old$, $new$
    when p_to_queue !~ name then 'to.queue must be 1 to 128 of A-Z a-z 0-9 . _ : -'
    when p_to_queue ^@ 'troupe.' then 'to.queue must not begin with "troupe.": such queues are the engine''s own'
$new$);
select troupe.edit_function('claim', $old$
begin
  return query
$old$, $new$
begin
  perform troupe.check_own_queue(p_queue);
  return query
$new$);
