// LOGBOOK over a STORE that the test answers for.
#include "actors/logbook.hpp"
#include "tests/actors/deterministic_system.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct writing : store_system {
  logbook_impl one = spawn(logbook, store, &counters);
  std::shared_ptr<int> drained = std::make_shared<int>(0);

  run_reporter_ptr run_of(std::int64_t job) {
    return std::make_shared<run_reporter>(run_key{lease_id{1}, job_id{job}, 1}, one);
  }
  void drain() {
    sys.spawn([to = logbook_actor{one}, count = drained](caf::event_based_actor* asking) {
      asking->request(to, caf::infinite, drain_atom_v).then([count](bool) { ++*count; });
    });
    run();
  }
  const record_reports& asked() { return in->reports.front(); }
};

std::vector<std::string> texts(const record_reports& of) {
  std::vector<std::string> out;
  for (const auto& line : of.lines)
    out.push_back(line.text);
  return out;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(logbooks, writing)

BOOST_AUTO_TEST_CASE(lines_gather_for_a_moment_and_keep_their_order_and_age) {
  const auto first = run_of(1);
  first->log(line_level::info, "a");
  advance(50ms);
  run_of(2)->log(line_level::warn, "b");
  BOOST_TEST(in->reports.empty());
  advance(150ms);
  BOOST_TEST(texts(asked()) == (std::vector<std::string>{"a", "b"}));
  BOOST_TEST(asked().lines[0].ago == 200ms);
  BOOST_TEST(asked().lines[1].ago == 150ms);
  first->log(line_level::info, "c");
  advance(1s);
  BOOST_TEST(in->reports.size() == 1U); // one at a time
  give(in->reports, recorded_reports{{job_id{2}}});
  advance(200ms);
  BOOST_TEST(texts(asked()) == std::vector<std::string>{"c"});
  BOOST_TEST(counters.log_lines == 1U);
  BOOST_TEST(counters.reports_fenced == 1U);
}

BOOST_AUTO_TEST_CASE(of_a_runs_progress_the_last_word_is_stored) {
  const auto busy = run_of(1);
  for (int i = 0; i <= 1000; ++i)
    busy->progress(i / 10.0, std::to_string(i));
  advance(200ms);
  BOOST_REQUIRE(asked().progress.size() == 1U);
  BOOST_TEST(asked().progress[0].message == "1000");
  BOOST_TEST(asked().progress[0].percent.value() == 100);
}

BOOST_AUTO_TEST_CASE(who_drains_hears_when_all_before_is_stored) {
  drain();
  BOOST_TEST(*drained == 1);
  const auto first = run_of(1);
  first->log(line_level::info, "a");
  run();
  drain();
  BOOST_TEST(texts(asked()) == std::vector<std::string>{"a"}); // at once
  first->log(line_level::info, "b");
  run();
  BOOST_TEST(*drained == 1);
  give(in->reports, recorded_reports{});
  run();
  BOOST_TEST(*drained == 2);
}

BOOST_AUTO_TEST_CASE(an_outage_is_outlived_but_not_waited_for) {
  const auto first = run_of(1);
  first->log(line_level::info, "a");
  run();
  drain();
  give(in->reports, make_error(errc::unavailable, "down"));
  run();
  BOOST_TEST(*drained == 1);
  BOOST_TEST(in->reports.empty());
  first->log(line_level::info, "b");
  advance(1s);
  BOOST_TEST(texts(asked()) == (std::vector<std::string>{"a", "b"}));
  BOOST_TEST(asked().lines[0].ago >= 1s);
  drain();
  give(in->reports, recorded_reports{});
  run();
  BOOST_TEST(*drained == 2);
  BOOST_TEST(counters.log_lines == 2U);
}

BOOST_AUTO_TEST_CASE(what_the_database_refuses_is_dropped_and_counted) {
  run_of(1)->log(line_level::info, "a");
  advance(200ms);
  give(in->reports, make_error(errc::database, "23514"));
  advance(5s);
  BOOST_TEST(in->reports.empty());
  BOOST_TEST(counters.log_lines_dropped == 1U);
}

BOOST_AUTO_TEST_CASE(more_than_its_room_holds_is_dropped_and_counted) {
  std::vector<run_reporter_ptr> runs;
  for (int i = 0; i < 11; ++i)
    runs.push_back(run_of(i + 1));
  for (const auto& each : runs)
    for (std::size_t i = 0; i < limits::log_lines; ++i)
      each->log(line_level::info, "x");
  run();
  BOOST_TEST(in->reports.size() == 1U);
  BOOST_TEST(asked().lines.size() == logbook_state::batch_entries);
  // What is on its way makes room.
  BOOST_TEST(counters.log_lines_dropped
             == 11 * limits::log_lines - logbook_state::max_lines - logbook_state::batch_entries);
}

BOOST_AUTO_TEST_CASE(a_run_that_outlives_the_engine_speaks_to_nobody) {
  const auto late = run_of(1);
  caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
  run();
  one = nullptr;
  late->log(line_level::info, "a");
  late->progress(1, "b");
  run();
  BOOST_TEST(in->reports.empty());
}

BOOST_AUTO_TEST_SUITE_END()
