-- The kinds that a node has handlers for, so that troupe.why can tell when no node has a job's kind. Null:
-- not told, as of workers by SQL; it may have any.
alter table troupe.node add column kinds text[];

-- Edited where they stand: all else of troupe.why stays as it is.
do $$
declare
  edit record;
  before text;
  after text;
begin
  for edit in
    select * from (values
      ('  behind_head boolean := false;' || E'\n',
       '  behind_head boolean := false;' || E'\n  able int;       -- nodes that have its kind\n'),
      ('  select count(*) filter (where n.heartbeat_at > clock_timestamp() - late), max(n.heartbeat_at)' || E'\n'
       || '    into nodes, heartbeat' || E'\n',
       '  select count(*) filter (where n.heartbeat_at > clock_timestamp() - late), max(n.heartbeat_at),' || E'\n'
       || '         count(*) filter (where n.heartbeat_at > clock_timestamp() - late' || E'\n'
       || '                            and (n.kinds is null or why.kind = any (n.kinds)))' || E'\n'
       || '    into nodes, heartbeat, able' || E'\n'),
      -- Each node that takes it fails it, so it would be tried again in vain.
      ('      reason := ''time'';' || E'\n',
       '      reason := case when later.reason = 2 and nodes > 0 and able = 0 then ''no_kind'' else ''time'' end;' || E'\n'),
      (E'\n  if later.due_at is not null then -- nobody',
       E'\n  if able = 0 then\n    reason := ''no_kind'';\n    return;\n  end if;\n'
       || E'\n  if later.due_at is not null then -- nobody')
    ) v(old, new)
  loop
    select pg_get_functiondef(p.oid) into strict before
      from pg_proc p where p.pronamespace = 'troupe'::regnamespace and p.proname = 'why';
    after := replace(before, edit.old, edit.new);
    if length(after) <> length(before) + length(edit.new) - length(edit.old) then
      raise exception 'troupe.why does not have this once: %', edit.old;
    end if;
    execute after;
  end loop;
end $$;
