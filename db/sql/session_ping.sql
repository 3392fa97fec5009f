-- Is a session still there that was not used for a while?
select 1
