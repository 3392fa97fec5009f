-- How a transaction ended: committed, aborted, in progress; null when it is too old to tell. A crash
-- forgets numbers that were not yet on disk and gives them to others. So after one, or on another
-- timeline: what did not commit under this number did not commit, but "committed" may be another's,
-- and is "not told".
-- reads
with asked as (
  select split_part($1::text, '@', 1)::xid8 as number, split_part($1, '@', 2)::numeric as told_at,
         split_part($1, '@', 3) as timeline
), fate as (
  select number,
         timeline <> left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)
           or extract(epoch from pg_postmaster_start_time()) > told_at
           or (select extract(epoch from stats_reset) from pg_stat_bgwriter) > told_at as crashed
  from asked
)
select case
  when not crashed then pg_xact_status(number)
  when number >= pg_snapshot_xmax(pg_current_snapshot()) then 'aborted'
  when pg_xact_status(number) = 'committed' then 'not told'
  when pg_xact_status(number) is not null then 'aborted'
end
from fate
