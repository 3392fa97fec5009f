-- A claim that reads a lane more than once (late writers first, or entries by hundreds) counts what it has taken
-- itself: that is noted at its end only, so a key with room for two got two of each round.

-- What is left of these rooms for one who has taken jobs of such keys already. A key without room stays as it is.
create function troupe.rooms_left(p_keys text[], p_rooms int[], p_taken text[]) returns int[] language sql immutable as $$
  select array_agg(case when x.room > 0 then greatest(0, x.room - x.taken) else x.room end order by x.o)
    from (select max(u.room) as room, max(u.o) as o, (count(*) filter (where u.o is null))::int as taken
            from (select k, room, o from unnest(p_keys, p_rooms) with ordinality r(k, room, o)
                  union all
                  select k, null, null from unnest(p_taken) k) u
           group by u.k) x
   where x.o is not null;
$$;
select troupe.edit_function('sort_entries',
  $old$p_room integer, OUT cut integer$old$, $new$p_room integer, p_taken text[], OUT cut integer$new$);
select troupe.edit_function('sort_entries', $old$
    perform troupe.fold_keys(p_queue, true);
    rooms := troupe.key_rooms(p_queue, names, true);
  end if;
$old$, $new$
    perform troupe.fold_keys(p_queue, true);
    rooms := troupe.key_rooms(p_queue, names, true);
  end if;
  if p_taken <> '{}' then
    rooms := troupe.rooms_left(names, rooms, p_taken);
  end if;
$new$);
select troupe.edit_function('read_lane', $old$
                                                  p_limit - cardinality(jobs));
$old$, $new$
                                                  p_limit - cardinality(jobs), keys);
$new$);
