// What a benchmark asks the database: WAL that grows, and jobs that ran once or did not.
#include "launcher/bench_statements.hpp"
#include "tests/launcher/session_fixture.hpp"

using namespace troupe;
using namespace troupe::tests;

namespace {

struct bench_fixture : session_fixture {
  bench_fixture() {
    node.emplace(options());
    node->handle("once", [](const job_run&) { return completed(); });
    node->handle("twice", [](const job_run& run) {
      auto result = failed("at first");
      result.retry_in = 1ms;
      return run.attempt == 1 ? result : completed();
    });
    node->handle("never", [](const job_run&) { return discarded("for good"); });
    node->start();
  }
  job_id run(const std::string& kind, const std::string& queue = "measured") {
    const auto id = node->enqueue({.kind = kind, .queue = queue});
    node->wait(id, 60s);
    return id;
  }
  ended_jobs count(job_id first) { return count_ended(*node, "measured", first, 60s); }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(bench_statements, bench_fixture)

BOOST_AUTO_TEST_CASE(wal_grows_by_what_is_written) {
  const auto before = wal_written(*node);
  BOOST_TEST(before > 0);
  database.exec("insert into note (text) select repeat('x', 1000) from generate_series(1, 1000)");
  BOOST_TEST(wal_written(*node) - before >= 1'000'000);
}

BOOST_AUTO_TEST_CASE(only_what_ran_once_and_completed_counts_as_such) {
  const auto first = run("once");
  run("once");
  BOOST_TEST(count(first).jobs == 2);
  BOOST_TEST(count(first).once == 2);
  const auto again = run("twice");
  const auto refused = run("never");
  const auto waits = node->enqueue({.kind = "once", .queue = "measured", .delay = 1h});
  BOOST_TEST(count(first).jobs == 5);
  BOOST_TEST(count(first).once == 2);
  BOOST_TEST(count(again).jobs == 3);
  BOOST_TEST(count(again).once == 0);
  BOOST_TEST(count(refused).jobs == 2);
  BOOST_TEST(count(waits).jobs == 1);
}

BOOST_AUTO_TEST_CASE(jobs_of_other_queues_do_not_count) {
  const auto first = run("once");
  run("once", "other");
  BOOST_TEST(count(first).jobs == 1);
  BOOST_TEST(count(first).once == 1);
}

BOOST_AUTO_TEST_CASE(a_job_stored_by_sql_is_the_job_that_was_meant) {
  const auto id = enqueue_by_sql(
      *node, {.kind = "once", .queue = "measured", .args = R"({"n":7})", .max_attempts = 1});
  const auto job = node->wait(id, 60s);
  BOOST_TEST((job.state == job_state::completed));
  BOOST_TEST(job.kind == "once");
  BOOST_TEST(job.queue == "measured");
  BOOST_TEST(job.args == R"({"n": 7})");
  BOOST_TEST(job.max_attempts == 1);
}

BOOST_AUTO_TEST_SUITE_END()
