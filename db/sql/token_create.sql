-- A new token; only the hash of its secret comes here.
select t.id, t.name, hint, role, queues, created_at, expires_at, revoked_at, last_used_on, troupe.token_standing(t)
  from troupe.create_token($1, $2, $3, $4, $5, $6) t,
       lateral troupe.note_change(
         $7, $8, $9, 'token.create', t.id::text,
         troupe.differences('{}', jsonb_build_object('name', t.name, 'role', t.role, 'queues', t.queues,
                                                     'expires_at', troupe.told_time(t.expires_at))))
