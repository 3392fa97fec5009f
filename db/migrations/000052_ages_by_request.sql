-- Whether nothing more is for this node. Looked up anew whenever it is asked, also within one statement: a claim
-- that waited for a drain knows by then that it found nothing for that.
create function troupe.is_quiet(p_node bigint) returns boolean language plpgsql volatile as $$
begin
  return (select n.wanted is not null from troupe.node n where n.id = p_node);
end $$;

-- How long jobs are kept, in milliseconds; null: for ever. The queue '' stands for all without ages of their own.
create function troupe.ages_of(p_queue text, out queue text, out completed_ms bigint, out cancelled_ms bigint,
                               out discarded_ms bigint)
language sql stable set enable_seqscan = off as $$
  select r.queue, (extract(epoch from r.completed) * 1000)::bigint, (extract(epoch from r.cancelled) * 1000)::bigint,
         (extract(epoch from r.discarded) * 1000)::bigint
    from troupe.retention r where r.queue = p_queue;
$$;

-- One change of ages after the other, so that of two at once each keeps what the other said.
select troupe.edit_function('retain', $old$
  insert into troupe.retention as r$old$, $new$
  perform from troupe.retention r where r.queue = '' for update;
  insert into troupe.retention as r$new$);
select troupe.edit_function('retain_as_others', $old$
  delete from troupe.retention r$old$, $new$
  perform from troupe.retention r where r.queue = '' for update;
  delete from troupe.retention r$new$);

-- The answer is what holds of the queue afterwards. Its first change begins with the ages of all others.
create function troupe.change_ages(p_queue text, p_changes boolean[], p_ms bigint[], out queue text,
                                   out completed_ms bigint, out cancelled_ms bigint, out discarded_ms bigint)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_column
declare
  ages interval[];
begin
  perform from troupe.retention r where r.queue = '' for update;
  select array[r.completed, r.cancelled, r.discarded] into ages
    from troupe.retention r where r.queue in ('', p_queue) order by r.queue desc limit 1;
  for i in 1..3 loop
    if p_changes[i] then
      ages[i] := p_ms[i] * interval '1 millisecond';
    end if;
  end loop;
  perform troupe.retain(ages[1], ages[2], ages[3], nullif(p_queue, ''));
  select a.* into queue, completed_ms, cancelled_ms, discarded_ms from troupe.ages_of(p_queue) a;
end $$;

-- As all others again, whose ages are the answer.
create function troupe.forget_ages(p_queue text, out queue text, out completed_ms bigint, out cancelled_ms bigint,
                                   out discarded_ms bigint)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_column
begin
  perform from troupe.retention r where r.queue = '' for update;
  perform from troupe.retention r where r.queue = p_queue and p_queue <> '';
  if not found then
    raise exception 'the queue % has no ages of its own', p_queue using errcode = 'TR404';
  end if;
  perform troupe.retain_as_others(p_queue);
  select a.* into queue, completed_ms, cancelled_ms, discarded_ms from troupe.ages_of('') a;
end $$;
