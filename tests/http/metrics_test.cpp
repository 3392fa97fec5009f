// GET /metrics as a scraper reads it: the text format itself, and what of the database side is in
// it.
#include "http/metrics.hpp"
#include "tests/http/exposition.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <string>
#include <thread>

using namespace troupe;
using namespace std::chrono_literals;
using tests::exposition;

namespace {

struct measured {
  engine_counters counters;
  database_metrics database;
  http::request_metrics requests;

  std::string text() const {
    return http::metrics_text(counters, database, requests, http::read_process(),
                              {"1.2.3", "0123456789ab", "n\"\\1"});
  }
  exposition read() const { return exposition{text()}; }
};

bool broken(const std::string& text) {
  return !exposition{text}.faults().empty();
}

} // namespace

BOOST_AUTO_TEST_CASE(the_reader_of_these_tests_is_strict) {
  const std::string head = "# HELP a_total Help.\n# TYPE a_total counter\n";
  BOOST_TEST(!broken(head + "a_total 1\n"));
  BOOST_TEST(!broken(head + "a_total{x=\"1\\\"\\\\\"} 1\na_total{x=\"2\"} 1\n"));
  for (const auto* wrong :
       {"a_total 1", "a_total 1\n\n", "a_total\n", "a_total x\n", "a_total 1 2 3\n", "a_total -1\n",
        "b_total 1\n", "a_total 1\na_total 1\n", "a_total{le=\"1\"} 1\n", "a_total{x=1} 1\n",
        "a_total{x=\"\\q\"} 1\n", "a_total{x=\"1} 1\n", "# comment\na_total 1\n", ""})
    BOOST_TEST(broken(head + wrong), wrong);
  BOOST_TEST(broken("# HELP a Help.\n# TYPE a counter\na 1\n"));
  BOOST_TEST(broken("# HELP a_ms Help.\n# TYPE a_ms gauge\na_ms 1\n"));
  BOOST_TEST(broken("# TYPE a gauge\na 1\n"));
  const std::string h = "# HELP h Help.\n# TYPE h histogram\n";
  BOOST_TEST(!broken(h + "h_count 2\nh_sum 3\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n"));
  BOOST_TEST(broken(h + "h_count 2\nh_sum 3\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\n"));
  BOOST_TEST(broken(h + "h_count 2\nh_sum 3\nh_bucket{le=\"1\"} 2\n"));
  BOOST_TEST(broken(h + "h_count 2\nh_bucket{le=\"+Inf\"} 2\n"));
}

BOOST_FIXTURE_TEST_CASE(the_text_keeps_every_rule_of_the_format, measured) {
  const auto empty = read();
  BOOST_TEST(empty.faults().empty(), empty.all_faults());
  database.acquire.record(3ms);
  database.of("job_claim").latency.record(70us);
  database.of("job_finish").latency.record(20s);
  database.failed("40001");
  counters.runs.of("q", "k").ended(run_end::snoozed, 1ms);
  counters.measured.store(std::make_shared<const database_measures>());
  counters.jobs.store(std::make_shared<const std::vector<job_counts>>());
  const auto full = read();
  BOOST_TEST(full.faults().empty(), full.all_faults());
}

BOOST_FIXTURE_TEST_CASE(runs_stand_by_queue_and_kind_and_outcome, measured) {
  BOOST_TEST(!read().value("troupe_jobs_total", {}));
  auto& mail = counters.runs.of("mail", "send");
  mail.ended(run_end::completed, 2ms);
  mail.ended(run_end::completed, 40s);
  mail.ended(run_end::retried, 2h);
  counters.runs.of("mail\"\\", "other").ended(run_end::fenced, 1ms);
  const auto all = read();
  BOOST_TEST(all.faults().empty(), all.all_faults());
  exposition::labels what{{"queue", "mail"}, {"kind", "send"}};
  const std::string took = "troupe_job_duration_seconds";
  BOOST_TEST(*all.value(took + "_count", what) == 3);
  BOOST_TEST(*all.value(took + "_sum", what) == 7240.002, boost::test_tools::tolerance(1e-9));
  what["le"] = "3600";
  BOOST_TEST(*all.value(took + "_bucket", what) == 2);
  what.erase("le");
  what["outcome"] = "completed";
  BOOST_TEST(*all.value("troupe_jobs_total", what) == 2);
  what["outcome"] = "retried";
  BOOST_TEST(*all.value("troupe_jobs_total", what) == 1);
  what["outcome"] = "discarded"; // what never happened has no series: there are many kinds
  BOOST_TEST(!all.value("troupe_jobs_total", what));
}

BOOST_FIXTURE_TEST_CASE(attempts_and_slots_stand_by_what_became_of_them, measured) {
  counters.attempts_failed = 4;
  counters.jobs_rescued = 3;
  counters.leases_expired = 2;
  counters.slots = 32;
  counters.running = 5;
  counters.stuck = 1;
  const auto all = read();
  BOOST_TEST(*all.value("troupe_job_attempts_total", {{"outcome", "retry"}}) == 4);
  BOOST_TEST(*all.value("troupe_job_attempts_total", {{"outcome", "rescue"}}) == 3);
  BOOST_TEST(*all.value("troupe_job_attempts_total", {{"outcome", "discard"}}) == 0);
  BOOST_TEST(*all.value("troupe_leases_expired_total") == 2);
  BOOST_TEST(*all.value("troupe_workers", {{"state", "busy"}}) == 5);
  BOOST_TEST(*all.value("troupe_workers", {{"state", "idle"}}) == 27);
  BOOST_TEST(*all.value("troupe_workers", {{"state", "stuck"}}) == 1);
}

BOOST_FIXTURE_TEST_CASE(what_the_database_measures_is_shown_once_it_was_read, measured) {
  BOOST_TEST(!read().value("troupe_oldest_transaction_seconds"));
  counters.measured.store(std::make_shared<const database_measures>(
      database_measures{{{"mail", 12.5}}, {{"job", 7}, {"lane", 0}}, 3.25}));
  const auto all = read();
  BOOST_TEST(all.faults().empty(), all.all_faults());
  BOOST_TEST(*all.value("troupe_queue_latency_seconds", {{"queue", "mail"}}) == 12.5);
  BOOST_TEST(*all.value("troupe_table_dead_tuples", {{"table", "job"}}) == 7);
  BOOST_TEST(*all.value("troupe_oldest_transaction_seconds") == 3.25);
}

BOOST_FIXTURE_TEST_CASE(requests_stand_by_route_and_code, measured) {
  http::route known{.pattern = "/api/v1/jobs/{id}",
                    .role = role::viewer,
                    .what = {"getJob", "jobs", "One"},
                    .answers = {{200, "Job"}},
                    .handle = {}};
  requests.answered(&known, 200, 3ms);
  requests.answered(&known, 200, 30ms);
  requests.answered(&known, 404, 1ms);
  requests.answered(nullptr, 400, 1us);
  requests.rejected(http::rejection_of(400));
  requests.rejected(http::rejection::connections);
  const auto all = read();
  BOOST_TEST(all.faults().empty(), all.all_faults());
  const std::string name = "troupe_http_request_duration_seconds_count";
  exposition::labels what{{"method", "GET"}, {"route", "/api/v1/jobs/{id}"}, {"code", "200"}};
  BOOST_TEST(*all.value(name, what) == 2);
  what["code"] = "404";
  BOOST_TEST(*all.value(name, what) == 1);
  BOOST_TEST(*all.value(name, {{"method", "none"}, {"route", "none"}, {"code", "400"}}) == 1);
  BOOST_TEST(*all.value("troupe_http_rejected_total", {{"reason", "malformed"}}) == 1);
  BOOST_TEST(*all.value("troupe_http_rejected_total", {{"reason", "connections"}}) == 1);
  BOOST_TEST(*all.value("troupe_http_rejected_total", {{"reason", "throttled"}}) == 0);
}

BOOST_AUTO_TEST_CASE(the_kernel_knows_since_when_this_process_is_there) {
  const auto first = http::read_process();
  const auto now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch());
  BOOST_TEST(first.start_seconds > now.count() - 600);
  BOOST_TEST(first.start_seconds < now.count() + 2);
  BOOST_TEST(first.max_descriptors >= first.open_descriptors);
  BOOST_TEST(first.virtual_bytes >= first.resident_bytes);
  BOOST_TEST(first.threads >= 1);
}

BOOST_FIXTURE_TEST_CASE(the_pool_shows_its_connections_by_state, measured) {
  database.connections = 6;
  database.lent = 2;
  database.limit = 8;
  database.in_flight = 40;
  database.reconnects = 3;
  database.retired = 4;
  counters.pool_waiting = 5;
  const auto all = read();
  BOOST_TEST(*all.value("troupe_db_pool_connections", {{"state", "shared"}}) == 4);
  BOOST_TEST(*all.value("troupe_db_pool_connections", {{"state", "lent"}}) == 2);
  BOOST_TEST(*all.value("troupe_db_pool_connections_max") == 8);
  BOOST_TEST(*all.value("troupe_db_pool_waiting") == 5);
  BOOST_TEST(*all.value("troupe_db_statements_in_flight") == 40);
  BOOST_TEST(*all.value("troupe_db_reconnects_total") == 3);
  BOOST_TEST(*all.value("troupe_db_connections_retired_total") == 4);
  BOOST_TEST(all.type("troupe_db_pool_connections") == "gauge");
}

BOOST_FIXTURE_TEST_CASE(each_connection_shows_itself_by_its_slot_and_counters_outlive_it,
                        measured) {
  auto& held = database.slot(1);
  held.holder = 77;
  held.backend_pid = 4711;
  held.up_since = std::chrono::steady_clock::now() - 90s;
  held.in_flight = 12;
  held.lent = true;
  held.statements = 500;
  held.errors = 3;
  database.slot(0).statements = 8; // was held once
  database.slot(database_metrics::max_slots + 5).holder = 1;
  const auto all = read();
  BOOST_TEST(all.faults().empty(), all.all_faults());
  const std::string name = "troupe_db_connection_";
  BOOST_TEST(*all.value(name + "in_flight", {{"slot", "1"}}) == 12);
  BOOST_TEST(*all.value(name + "lent", {{"slot", "1"}}) == 1);
  BOOST_TEST(*all.value(name + "age_seconds", {{"slot", "1"}}) >= 90);
  BOOST_TEST(*all.value(name + "statements_total", {{"slot", "1"}}) == 500);
  BOOST_TEST(*all.value(name + "errors_total", {{"slot", "1"}}) == 3);
  BOOST_TEST(*all.value(name + "statements_total", {{"slot", "0"}}) == 8);
  BOOST_TEST(!all.value(name + "in_flight", {{"slot", "0"}}));
  BOOST_TEST(!all.value(name + "statements_total", {{"slot", "2"}}));
  BOOST_TEST(*all.value(name + "lent", {{"slot", std::to_string(database_metrics::max_slots - 1)}})
             == 0);
  BOOST_TEST(text().find("4711") == std::string::npos); // a label that never ends
}

BOOST_FIXTURE_TEST_CASE(histograms_are_cumulative_and_in_seconds, measured) {
  database.acquire.record(90us);
  database.acquire.record(100us); // a bound belongs to its bucket
  database.acquire.record(2ms);
  database.acquire.record(11s);
  const auto all = read();
  const std::string name = "troupe_db_pool_acquire_seconds";
  BOOST_TEST(all.type(name) == "histogram");
  BOOST_TEST(*all.value(name + "_bucket", {{"le", "0.0001"}}) == 2);
  BOOST_TEST(*all.value(name + "_bucket", {{"le", "0.001"}}) == 2);
  BOOST_TEST(*all.value(name + "_bucket", {{"le", "0.0025"}}) == 3);
  BOOST_TEST(*all.value(name + "_bucket", {{"le", "10"}}) == 3);
  BOOST_TEST(*all.value(name + "_bucket", {{"le", "+Inf"}}) == 4);
  BOOST_TEST(*all.value(name + "_count") == 4);
  BOOST_TEST(*all.value(name + "_sum") == 11.00219, boost::test_tools::tolerance(1e-9));
}

BOOST_FIXTURE_TEST_CASE(statements_have_a_histogram_and_errors_by_name, measured) {
  static const std::string twin{"job_claim"}; // the same name from elsewhere is the same series
  database.of("job_claim").latency.record(1ms);
  database.of(twin.c_str()).latency.record(2ms);
  database.of(twin.c_str()).errors = 2;
  const auto all = read();
  BOOST_TEST(all.faults().empty(), all.all_faults());
  BOOST_TEST(*all.value("troupe_db_statement_seconds_count", {{"statement", "job_claim"}}) == 2);
  BOOST_TEST(*all.value("troupe_db_statement_errors_total", {{"statement", "job_claim"}}) == 2);
}

BOOST_FIXTURE_TEST_CASE(more_names_than_entries_are_counted_together, measured) {
  static std::vector<std::string> names;
  for (std::size_t i = 0; i < database_metrics::max_statements + 10; ++i)
    names.push_back("statement_" + std::to_string(i));
  for (const auto& name : names)
    database.of(name.c_str()).latency.record(1ms);
  const auto all = read();
  BOOST_TEST(all.faults().empty(), all.all_faults());
  BOOST_TEST(*all.value("troupe_db_statement_seconds_count", {{"statement", "other"}}) == 10);
}

BOOST_FIXTURE_TEST_CASE(errors_and_rollbacks_stand_by_class_and_cause, measured) {
  for (const auto* state : {"40001", "40P01", "23505", "", "99999"})
    database.failed(state);
  database.transactions = 9;
  database.savepoints = 7;
  database.transaction_retries = 2;
  database.rolled_back(database_metrics::rollback_cause::conflict);
  database.rolled_back(database_metrics::rollback_cause::timed_out);
  const auto all = read();
  const std::string errors = "troupe_db_errors_total";
  BOOST_TEST(*all.value(errors, {{"sqlstate_class", "40"}}) == 2);
  BOOST_TEST(*all.value(errors, {{"sqlstate_class", "23"}}) == 1);
  BOOST_TEST(*all.value(errors, {{"sqlstate_class", "--"}}) == 1);
  BOOST_TEST(*all.value(errors, {{"sqlstate_class", "other"}}) == 1);
  BOOST_TEST(*all.value(errors, {{"sqlstate_class", "53"}}) == 0);
  BOOST_TEST(*all.value("troupe_db_transactions_total") == 9);
  BOOST_TEST(*all.value("troupe_db_savepoints_total") == 7);
  BOOST_TEST(*all.value("troupe_db_transaction_retries_total") == 2);
  BOOST_TEST(*all.value("troupe_db_rollbacks_total", {{"cause", "conflict"}}) == 1);
  BOOST_TEST(*all.value("troupe_db_rollbacks_total", {{"cause", "timed_out"}}) == 1);
  BOOST_TEST(*all.value("troupe_db_rollbacks_total", {{"cause", "asked"}}) == 0);
}

BOOST_FIXTURE_TEST_CASE(the_text_stays_consistent_while_others_count, measured) {
  std::atomic<bool> enough{false};
  std::thread writer{[&] {
    for (std::uint64_t i = 0; !enough; ++i) {
      database.acquire.record(std::chrono::microseconds{i % 20'000});
      database.of("job_claim").latency.record(std::chrono::microseconds{i % 3'000});
    }
  }};
  for (int i = 0; i < 50; ++i) {
    const auto all = read();
    BOOST_TEST(all.faults().empty(), all.all_faults());
  }
  enough = true;
  writer.join();
}
