-- Who limits a queue by SQL is told which argument is wrong and what it may be. It was the table's constraint
-- that answered, with its own name and the row.

create function troupe.check_queue_name(p_queue text) returns void language plpgsql as $$
begin
  if p_queue is null or p_queue !~ '^[A-Za-z0-9._:-]{1,128}$' then
    raise exception 'queue must be 1 to 128 of A-Z a-z 0-9 . _ : -' using errcode = 'TR400';
  end if;
end $$;

-- The bounds are those of the table's constraints. Null: no limit.
create function troupe.check_limit(p_argument text, p_value int, p_most int) returns void language plpgsql as $$
begin
  if p_value not between 1 and p_most then
    raise exception '% must be 1 to %, or null for no limit', p_argument, p_most using errcode = 'TR400';
  end if;
end $$;

create function troupe.check_rate(p_jobs int, p_period_ms int, p_burst int) returns void language plpgsql as $$
begin
  perform troupe.check_limit('jobs', p_jobs, 1000000);
  perform troupe.check_limit('period_ms', p_period_ms, 86400000);
  perform troupe.check_limit('burst', p_burst, 1000000);
  if num_nulls(p_jobs, p_period_ms, p_burst) not in (0, 3) then
    raise exception 'jobs, period_ms and burst must be given together, or all be null for no limit'
      using errcode = 'TR400';
  elsif p_jobs > 1000::bigint * p_period_ms then
    raise exception 'jobs must be at most 1000 for each ms of period_ms' using errcode = 'TR400';
  end if;
end $$;

select troupe.edit_function('limit_queue', $old$
begin
$old$, $new$
begin
  perform troupe.check_queue_name(p_queue);
  perform troupe.check_limit('concurrency', p_concurrency, 1000000);
$new$);
select troupe.edit_function('limit_keys', $old$
begin
$old$, $new$
begin
  perform troupe.check_queue_name(p_queue);
  perform troupe.check_limit('concurrency', p_concurrency, 1000000);
$new$);
select troupe.edit_function('rate_queue', $old$
  insert into troupe.queue (name, rate, rate_period_ms, rate_burst)
$old$, $new$
  select troupe.check_queue_name(p_queue);
  select troupe.check_rate(p_rate, p_period_ms, p_burst);
  insert into troupe.queue (name, rate, rate_period_ms, rate_burst)
$new$);
select troupe.edit_function('rate_keys', $old$
begin
$old$, $new$
begin
  perform troupe.check_queue_name(p_queue);
  perform troupe.check_rate(p_rate, p_period_ms, p_burst);
$new$);
select troupe.edit_function('limit_waiting', $old$
  insert into troupe.queue (name, max_waiting) values (p_queue, p_most)
$old$, $new$
  select troupe.check_queue_name(p_queue);
  select troupe.check_limit('most', p_most, 1000000000);
  insert into troupe.queue (name, max_waiting) values (p_queue, p_most)
$new$);
select troupe.edit_function('order_queue', $old$
  if p_ordered is null then
$old$, $new$
  perform troupe.check_queue_name(p_queue);
  if p_ordered is null then
$new$);
select troupe.edit_function('pause_queue', $old$
begin
  begin
$old$, $new$
begin
  perform troupe.check_queue_name(p_queue);
  begin
$new$);
