-- Tokens by id, after one.
select id, name, hint, role, queues, created_at, expires_at, revoked_at, last_used_on, troupe.token_standing(t)
  from troupe.list_tokens($1, $2) t
