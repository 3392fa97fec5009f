-- Who may ask: bearer tokens, of which only the SHA-256 is kept. The secret has more than 256 random bits, so a
-- hash without salt cannot be searched, and is found by its index: what time tells is about the hash of a
-- guess, not about the secret.

create table troupe.token (
  id           bigint primary key generated always as identity,
  created_at   timestamptz not null default clock_timestamp(),
  expires_at   timestamptz check (expires_at > created_at),
  revoked_at   timestamptz,
  last_used_on date, -- UTC; one write a day for each token, and no trail of every request
  hash         bytea not null unique check (octet_length(hash) = 32),
  name         text not null check (name ~ '^[A-Za-z0-9._:-]{1,128}$'),
  hint         text not null check (hint ~ '^trp_[0-9A-Za-z]{8}$'), -- how the secret begins, to know it again
  role         text not null check (role in ('viewer', 'producer', 'worker', 'operator', 'admin')),
  queues       text[] check (cardinality(queues) between 1 and 100), -- null: all
  check (queues is null or role <> 'admin')
);

create function troupe.token_standing(p_of troupe.token) returns text language sql volatile as $$
  select case when p_of.revoked_at is not null then 'revoked'
              when p_of.expires_at <= clock_timestamp() then 'expired' else 'live' end;
$$;

-- A token that lives for so long; null: until it is revoked. Those dead for 90 days are forgotten first, 1000
-- at a time, and 10000 are kept at most, so that a script gone wild does not fill the table.
create function troupe.create_token(
  p_name text, p_hint text, p_hash bytea, p_role text, p_queues text[], p_valid_ms bigint)
returns setof troupe.token language plpgsql as $$
declare
  moment timestamptz;
  wrong text;
begin
  if coalesce(p_name, '') !~ '^[A-Za-z0-9._:-]{1,128}$' then
    raise exception 'name: a name is 1 to 128 of A-Z a-z 0-9 . _ : -' using errcode = 'TR400';
  elsif p_role is null or p_role <> all ('{viewer,producer,worker,operator,admin}') then
    raise exception 'role: one of viewer, producer, worker, operator, admin' using errcode = 'TR400';
  elsif p_valid_ms not between 1 and 315360000000 then
    raise exception 'expires_in: from 1 ms to 10 years' using errcode = 'TR400';
  elsif p_queues is not null then
    if p_role = 'admin' then
      raise exception 'queues: an admin''s token is for all queues' using errcode = 'TR400';
    elsif cardinality(p_queues) not between 1 and 100 then
      raise exception 'queues: 1 to 100 of them' using errcode = 'TR400';
    end if;
    select coalesce(q, 'null') into wrong from unnest(p_queues) q
     where q is null or q !~ '^[A-Za-z0-9._:-]{1,128}$' limit 1;
    if found then
      raise exception 'queues: no queue can be called %', quote_literal(left(wrong, 200)) using errcode = 'TR400';
    end if;
  end if;
  perform pg_advisory_xact_lock(72331733, 5); -- of those who count tokens
  moment := clock_timestamp();
  delete from troupe.token t
   where t.id in (select d.id from troupe.token d
                   where least(d.revoked_at, d.expires_at) < moment - interval '90 days' limit 1000);
  if (select count(*) from troupe.token) >= 10000 then
    raise exception 'there are 10000 tokens, as many as are kept; the dead go 90 days after their end'
      using errcode = 'TR409';
  end if;
  return query
    insert into troupe.token (created_at, expires_at, hash, name, hint, role, queues)
    values (moment, moment + p_valid_ms * interval '1 ms', p_hash, p_name, p_hint, p_role,
            (select array_agg(distinct q order by q) from unnest(p_queues) q))
    returning *;
end $$;

-- By id, after one; the newest are the last.
create function troupe.list_tokens(p_after bigint, p_limit int) returns setof troupe.token
language sql stable set enable_seqscan = off as $$
  select * from troupe.token where id > p_after order by id limit p_limit;
$$;

-- From the commit on no lookup finds it live. Nodes that remember it are told; one that cannot be told (see
-- troupe.tell: here it does not matter whether others may prepare transactions) forgets it by itself. When
-- it was revoked: the first time counts. The token afterwards.
create function troupe.revoke_token(p_id bigint) returns setof troupe.token language plpgsql as $$
begin
  return query update troupe.token t set revoked_at = coalesce(t.revoked_at, clock_timestamp()) where t.id = p_id
    returning t.*;
  if not found then
    raise exception 'there is no token %', p_id using errcode = 'TR404';
  end if;
  if pg_notification_queue_usage() < 0.5 then
    perform pg_notify('troupe', 'token ' || p_id);
  end if;
end $$;

-- The token of this hash, and for how long it may be remembered at most: until its end by the clock of the
-- database. Volatile: an update that waited for a revocation is followed by a look that sees it.
create function troupe.find_token(
  p_hash bytea, out id bigint, out name text, out role text, out queues text[], out standing text,
  out left_ms bigint)
returns setof record language plpgsql volatile set enable_seqscan = off as $$
declare
  today constant date := (clock_timestamp() at time zone 'UTC')::date;
begin
  update troupe.token t set last_used_on = today
   where t.hash = p_hash and t.last_used_on is distinct from today and troupe.token_standing(t) = 'live';
  return query
    select t.id, t.name, t.role, t.queues, troupe.token_standing(t),
           case when t.expires_at is not null then -- greatest() passes over nulls
             greatest(0, floor(extract(epoch from t.expires_at - clock_timestamp()) * 1000))::bigint end
      from troupe.token t where t.hash = p_hash;
end $$;

-- Who has changed what, in the transaction of the change: an action that failed has no entry, and none is
-- without one. Entries of the last 90 days are kept, of these the newest million.
create table troupe.audit (
  id      bigint primary key generated always as identity,
  at      timestamptz not null default clock_timestamp(),
  token   bigint, -- null: none was shown
  who     text not null, -- the token's name, as it was
  action  text not null,
  subject text not null,
  request text not null
);

-- Nothing when nobody says who asks: a program that embeds the engine, or SQL.
create function troupe.note_change(p_token bigint, p_who text, p_request text, p_action text, p_subject text)
returns void language sql volatile as $$
  insert into troupe.audit (token, who, action, subject, request)
  select p_token, p_who, p_action, p_subject, coalesce(p_request, '') where p_who <> '';
$$;

-- Below an id (0: from the newest), newest first.
create function troupe.list_audit(p_before bigint, p_limit int) returns setof troupe.audit
language sql stable set enable_seqscan = off as $$
  select * from troupe.audit where id < case p_before when 0 then 9223372036854775807 else p_before end
   order by id desc limit p_limit;
$$;

-- How many entries went, the oldest first; when the first one stays, no other is looked at. Ids go up with time
-- nearly enough.
create function troupe.forget_audit(p_most int default 10000) returns bigint
language sql volatile set enable_seqscan = off as $$
  with bound as materialized (
    select clock_timestamp() - interval '90 days' as at, max(id) - 1000000 as id from troupe.audit),
  old as materialized (
    select o.id
      from (select a.id, a.at from troupe.audit a order by a.id
             limit case when (select f.at < b.at or f.id <= b.id from troupe.audit f, bound b
                               order by f.id limit 1) then p_most else 0 end) o, bound b
     where o.at < b.at or o.id <= b.id),
  gone as (delete from troupe.audit a where a.id in (select id from old) returning 1)
  select count(*) from gone;
$$;
