-- Cheaper keys. PostgreSQL takes an SQL function that is one expression into the statement that asks, and
-- keeps the plans of plpgsql; a call of any other SQL function for each job cost more than all else about
-- its key. The digests are the same as before.
create function troupe.unique_fields(p_args jsonb, p_fields jsonb) returns jsonb language sql stable as $$
  select jsonb_build_array(jsonb_agg(distinct f),
                           jsonb_object_agg(f, p_args -> f) filter (where p_args ? f))
    from jsonb_array_elements_text(p_fields) f
$$;

create or replace function troupe.unique_digest(p_kind text, p_queue text, p_args jsonb, p_unique jsonb,
                                                p_at timestamptz)
returns bytea language sql stable as $$
  select sha256(convert_to(jsonb_build_array(
    p_kind,
    case when p_unique -> 'queue' = 'true' then p_queue end,
    case when p_unique -> 'args' = 'true' then jsonb_build_array(p_args)
         when jsonb_typeof(p_unique -> 'args') = 'array'
           then troupe.unique_fields(p_args, p_unique -> 'args') end,
    (p_unique ->> 'period_ms')::numeric::bigint,
    floor(extract(epoch from p_at) * 1000 / (p_unique ->> 'period_ms')::numeric::bigint))::text, 'UTF8'))
$$;

create or replace function troupe.unique_end(p_unique jsonb, p_at timestamptz)
returns timestamptz language sql stable as $$
  select to_timestamp((floor(extract(epoch from p_at) * 1000 / (p_unique ->> 'period_ms')::numeric::bigint)
                       + 1) * (p_unique ->> 'period_ms')::numeric::bigint / 1000)
$$;

-- The derived state of each of these jobs; null where there is none. Not of SQL alone: that would be
-- planned anew with each call.
create or replace function troupe.states_of(p_jobs bigint[]) returns text[] language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_mergejoin = off set jit = off as $$
begin
  return (select array_agg(s.state order by u.o)
            from unnest(p_jobs) with ordinality u(id, o)
            left join troupe.jobs_of(p_jobs) s on s.id = u.id);
end $$;
