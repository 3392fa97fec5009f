// The engine's statements go by index whatever the statistics say, and however the connection
// plans: tables that were small when the server looked at them last are never read from end to end.
#include "tests/db/desk.hpp"

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;

namespace {

/// Tables that were read whole since the transaction began.
std::string read_whole(desk& at) {
  return at
      .ask(make_query("select coalesce(string_agg(relname, ' ' order by relname), '') "
                      "from pg_stat_xact_user_tables where schemaname = 'troupe' and seq_scan > 0 "
                      "and relname ~ '^(attempt|deferred|item|job|page|ready)'"))
      .one()
      .get<std::string>(0);
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(plans, jobs_database)

BOOST_AUTO_TEST_CASE(no_statement_of_the_engine_reads_a_table_whole_that_was_small) {
  at.enqueue_many(20);
  at.finish(at.claim(5));
  at.finish(at.claim(5), failed("again"));
  const auto waits = at.enqueue(job_spec{.kind = "noop", .delay = std::chrono::hours{1}});
  const auto crawl = at.enqueue();
  crawl_spec spec;
  spec.url = "http://a.test/";
  at.ask(open_crawl_query({crawl, spec}));
  database.exec("vacuum analyze");
  const auto ready = at.enqueue();
  at.begin();
  for (int round = 0; round < 8; ++round) { // more than it takes to have a plan for all values
    at.enqueue_many(2);
    at.find(waits);
    for (const auto state :
         {job_state::pending, job_state::scheduled, job_state::available, job_state::running,
          job_state::retryable, job_state::completed, job_state::cancelled, job_state::discarded}) {
      list_jobs one;
      one.filter.state = state;
      at.list(one);
    }
    at.list({});
    at.ask(items_query({crawl, {}, 10}));
    at.beat();
    at.promote();
  }
  at.cancel(ready);
  at.retry(ready);
  at.cancel(ready);
  at.remove(ready);
  at.finish(at.claim(5));
  BOOST_TEST(read_whole(at) == "");
  // The same question as a statement of a user's own: the server knows that the table is small.
  at.ask(make_query("select * from troupe.deferred where job_id = $1", waits));
  BOOST_TEST(read_whole(at) == "deferred");
  at.rollback();
}

BOOST_AUTO_TEST_SUITE_END()
