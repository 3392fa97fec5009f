-- The kinds that a node has handlers for, so that troupe.why can tell when no node has a job's kind. Null:
-- not told, as of workers by SQL; it may have any.
alter table troupe.node add column kinds text[];

select troupe.edit_function('why', $old$
  behind_head boolean := false;
$old$, $new$
  behind_head boolean := false;
  able int;       -- nodes that have its kind
$new$);
select troupe.edit_function('why', $old$
  select count(*) filter (where n.heartbeat_at > clock_timestamp() - late), max(n.heartbeat_at)
    into nodes, heartbeat
$old$, $new$
  select count(*) filter (where n.heartbeat_at > clock_timestamp() - late), max(n.heartbeat_at),
         count(*) filter (where n.heartbeat_at > clock_timestamp() - late
                            and (n.kinds is null or why.kind = any (n.kinds)))
    into nodes, heartbeat, able
$new$);
-- Each node that takes it fails it, so it would be tried again in vain.
select troupe.edit_function('why', $old$
      reason := 'time';
$old$, $new$
      reason := case when later.reason = 2 and nodes > 0 and able = 0 then 'no_kind' else 'time' end;
$new$);
select troupe.edit_function('why', $old$
  if later.due_at is not null then -- nobody has moved it into its lane yet
$old$, $new$
  if able = 0 then
    reason := 'no_kind';
    return;
  end if;

  if later.due_at is not null then -- nobody has moved it into its lane yet
$new$);
