-- From its commit on the token opens nothing; the token afterwards.
select t.id, t.name, hint, role, queues, created_at, expires_at, revoked_at, last_used_on, troupe.token_standing(t)
  from troupe.revoke_token($1) t, lateral troupe.note_change($2, $3, $4, 'token.revoke', t.id::text)
