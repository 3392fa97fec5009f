-- Where nobody made partitions ahead for long (no node was there), rows lie in the rest partition, and more
-- may come while the next partition is made: one that begins right above the newest row is refused then.

select troupe.edit_function('make_partitions', $old$
    if top <= newest then -- the rest partition holds rows from here on: begin above them
      top := newest + 1;
$old$, $new$
    if top <= newest then -- the rest partition holds rows from here on, and those of open writers
      top := newest + 1 + p_size / 8;
$new$);
