"""A snapshot that is held through the whole run, and what drains cost before, with and after it. What
counts is the server's own count of blocks (pg_stat_statements), not the time, which is the machine's.
"""
import time
from contextlib import suppress

import psycopg2

from cluster import until
from evidence import Drain
from faults import SPARED

SETTINGS = "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track = all\n"
JOBS = 4000
DRAINED_WITHIN = 120.0  # seconds

# The engine's statements: claims, then outcomes, heartbeats, starts and what is due. Of claims without the look at
# the jobs themselves: on how many pages these lie depends on the holes that others have left.
COUNTS = r"""
    with s as (select query ~ 'troupe\.take\(' as claims, calls, shared_blks_hit + shared_blks_read as blocks,
                      total_exec_time as ms
                 from public.pg_stat_statements
                where toplevel and query ~ 'troupe\.(take|write_outcomes|beat|promote|start_run)\('
               union all
               select true, 0, -shared_blks_hit - shared_blks_read, 0
                 from public.pg_stat_statements where not toplevel and query ~ '^\s*select lease_id, j\.id,')
    select coalesce(sum(calls) filter (where claims), 0)::bigint,
           coalesce(sum(blocks) filter (where claims), 0)::bigint,
           coalesce(sum(calls) filter (where not claims), 0)::bigint,
           coalesce(sum(blocks) filter (where not claims), 0)::bigint,
           pg_relation_size('troupe.node') / 8192,
           coalesce(sum(ms) filter (where claims), 0)
      from s"""
# Those within functions that touched most: where to look when a drain was too dear.
DEAREST = r"""
    select sum(shared_blks_hit + shared_blks_read)::bigint, sum(calls)::bigint,
           left(regexp_replace(query, '\s+', ' ', 'g'), 90)
      from public.pg_stat_statements where not toplevel group by query order by 1 desc limit 8"""


class HeldSnapshot:
    """Taken once, released once; its session is not ended by the faults that end sessions."""

    def __init__(self, server, ledger):
        self.server, self.ledger = server, ledger
        self.drains = {}
        self.rounds = 0
        self.connection = None
        server.ask("create extension pg_stat_statements schema public")

    def take(self):
        self.drain()  # warm: plans are made, tables have their first pages
        self.drains["before"] = self.drain()
        self.connection = psycopg2.connect(self.server.url, connect_timeout=30, application_name=SPARED)
        self.connection.set_session(isolation_level="REPEATABLE READ")
        self.look()

    def look(self):
        """Fails when the session was lost."""
        with self.connection.cursor() as cursor:
            cursor.execute("select count(*) from troupe.lane")
            return cursor.fetchone()[0]

    def finish(self):
        """Of a quiet engine: the last drains, with it and without."""
        assert self.look() is not None
        self.drains["held"] = self.drain()
        self.release()
        self.server.ask("vacuum (index_cleanup on) troupe.lane, troupe.lease, troupe.node, troupe.deferred")
        self.drains["after"] = self.drain()

    def release(self):
        if self.connection is not None:
            with suppress(psycopg2.Error):
                self.connection.close()
        self.connection = None

    def drain(self):
        """Through the nodes and the busiest queue, from one enqueue to the last outcome."""
        self.rounds += 1
        tokens = [f"drain{self.rounds}-{n}" for n in range(JOBS)]
        self.ledger.write("sent", tokens=tokens)
        self.server.ask("select public.pg_stat_statements_reset()")
        begin = time.monotonic()
        ids = self.server.ask("select troupe.enqueue_many(array_agg('noop'::text), array_agg('default'::text),"
                              " array_agg(jsonb_build_object('note', t)), array_agg(0::smallint))"
                              " from unnest(%s) t", tokens)[0][0]
        self.ledger.write("accepted", tokens=tokens, ids=ids)
        until(lambda: self.server.ask("select count(*) from troupe.attempt where job_id between %s and %s",
                                      min(ids), max(ids))[0][0] >= JOBS, "the end of a drain", DRAINED_WITHIN)
        seconds = time.monotonic() - begin
        return Drain(JOBS, *self.server.ask(COUNTS)[0], seconds, tuple(self.server.ask(DEAREST)))
