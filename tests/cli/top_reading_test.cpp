// The server's answers as `troupe top` reads them.
#include "cli/exit_code.hpp"
#include "cli/top_reading.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe::cli;
using std::chrono::system_clock;

namespace {

const system_clock::time_point noon{std::chrono::seconds{1'795'867'200}};

running_job job(const std::string& id, const std::string& attempt = "1", int age = 60) {
  return {id, "q", "k", attempt, "3", {"n", "", noon - std::chrono::seconds{age}}};
}

top_reading reading_of(const std::vector<running_job>& running) {
  top_reading out;
  out.taken_at = noon;
  out.running = running;
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(counts_and_pauses_come_in_pages) {
  top_reading reading;
  BOOST_TEST(add_counts(reading, R"({"queues":[{"queue":"a","scheduled":1,"available":2,"running":3,
      "retryable":4,"completed":5,"cancelled":6,"discarded":7}],"next":"a"})")
             == "a");
  BOOST_TEST(
      add_counts(reading, R"({"queues":[{"queue":"b","available":9}],"next":null})").empty());
  BOOST_REQUIRE(reading.queues.size() == 2);
  BOOST_TEST(reading.queues[0].all() == 28);
  BOOST_TEST(reading.queues[0].discarded == 7);
  BOOST_TEST(reading.queues[1].available == 9);
  add_pauses(reading, R"({"queues":[{"name":"a","paused":false},{"name":"b","paused":true},
      {"name":"new","paused":true}],"next":null})");
  BOOST_TEST(!reading.queues[0].paused);
  BOOST_TEST(reading.queues[1].paused);
}

BOOST_AUTO_TEST_CASE(the_node_is_read_from_its_health_and_its_metrics) {
  top_reading reading;
  set_health(reading,
             R"({"status":"degraded","ready":true,"reason":null,"node":"n1","version":"1.0",
      "checks":[{"name":"pool","status":"degraded","reason":"callers wait"},
                {"name":"clock","status":"ok","reason":null}]})");
  set_metrics(reading, "# HELP troupe_jobs_running x\ntroupe_jobs_running_total 8\n"
                       "troupe_jobs_running 3\ntroupe_jobs_stuck 1\ntroupe_jobs_backlog 1.2e3\n");
  BOOST_TEST(reading.node.name == "n1");
  BOOST_TEST(reading.node.status == "degraded");
  BOOST_TEST((reading.node.trouble == std::vector<std::string>{"pool: callers wait"}));
  BOOST_TEST(reading.node.running == 3);
  BOOST_TEST(reading.node.stuck == 1);
  BOOST_TEST(reading.node.backlog == 1200);
}

BOOST_AUTO_TEST_CASE(running_jobs_are_read_with_their_nodes_and_the_oldest_run_stands_first) {
  top_reading reading;
  set_running(reading, R"({"jobs":[
      {"id":"9","queue":"q","kind":"k","attempt":2,"max_attempts":3},
      {"id":"8","attempt":1,"node":"n2","started_at":"2026-11-28T08:55:05.250000Z"},
      {"id":"7","attempt":1,"node":"n1","started_at":"2026-11-28T08:55:04Z"}],"next":"x"})");
  BOOST_REQUIRE(reading.running.size() == 3);
  BOOST_TEST(reading.running[0].id == "7");
  BOOST_TEST(reading.running[1].id == "8");
  BOOST_TEST(reading.running[1].run.node == "n2");
  BOOST_TEST(reading.running[1].run.started->time_since_epoch() / std::chrono::milliseconds{1}
             == 1795856105250);
  BOOST_TEST(!reading.running[2].run.started.has_value());
  BOOST_TEST(reading.running[2].attempt == "2");
  BOOST_TEST(reading.more_running);
}

BOOST_AUTO_TEST_CASE(nodes_are_read_by_name) {
  top_reading reading;
  set_nodes(reading, R"({"nodes":[{"name":"b","state":"silent","running":4},
      {"name":"a","state":"alive","running":0}],"next":null})");
  BOOST_REQUIRE(reading.nodes.size() == 2);
  BOOST_TEST(reading.nodes[0].name == "a");
  BOOST_TEST(reading.nodes[1].state == "silent");
  BOOST_TEST(reading.nodes[1].running == 4);
  BOOST_TEST(!reading.more_nodes);
}

BOOST_AUTO_TEST_CASE(progress_is_a_percentage_a_message_or_both) {
  BOOST_TEST(read_progress(R"({"progress":{"percent":45,"message":"half"}})") == "45%, half");
  BOOST_TEST(read_progress(R"({"progress":{"percent":45,"message":null}})") == "45%");
  BOOST_TEST(read_progress(R"({"progress":{"percent":null,"message":"half"}})") == "half");
  BOOST_TEST(read_progress(R"({"progress":null})").empty());
}

BOOST_AUTO_TEST_CASE(only_times_in_utc_are_times) {
  BOOST_TEST(read_time("1970-01-01T00:00:01Z")->time_since_epoch().count() == 1'000'000'000);
  for (const auto* text : {"", "now", "2026-11-28", "2026-11-28T08:55:05",
                           "2026-11-28T08:55:05+01:00", "2026-11-28 08:55:05Z"})
    BOOST_TEST(!read_time(text).has_value(), text);
}

BOOST_AUTO_TEST_CASE(jobs_of_which_nothing_is_known_are_asked_for_first) {
  run_notes notes;
  auto reading = reading_of({job("5"), job("4"), job("3"), job("2")});
  using ids = std::vector<std::string>;
  BOOST_TEST((notes.wanted(reading, 3) == ids{"5", "4", "3"}));
  for (const auto* id : {"5", "4", "3"})
    notes.keep(job(id), "1%");
  BOOST_TEST((notes.wanted(reading, 3) == ids{"2", "5", "4"}));
  notes.keep(job("2"), "1%");
  notes.keep(job("5"), "2%");
  BOOST_TEST((notes.wanted(reading, 9) == ids{"4", "3", "2", "5"}));
  reading.running.push_back(job("4", "2")); // another attempt is another run
  BOOST_TEST((notes.wanted(reading, 1) == ids{"4"}));
}

BOOST_AUTO_TEST_CASE(of_short_runs_nobody_asks_how_far_they_are) {
  const run_notes notes;
  auto unknown = job("1");
  unknown.run.started.reset();
  const auto reading = reading_of({job("4", "1", 2), job("3", "1", 1), job("2", "1", -5), unknown});
  BOOST_TEST((notes.wanted(reading, 9) == std::vector<std::string>{"4"}));
}

BOOST_AUTO_TEST_CASE(what_is_known_goes_to_its_job_and_of_ended_ones_it_is_forgotten) {
  run_notes notes;
  auto reading = reading_of({job("5"), job("4"), job("3")});
  notes.keep(job("5"), "5%");
  notes.keep(job("3"), "3%");
  notes.keep(job("1"), "1%");
  notes.apply(reading);
  BOOST_TEST(reading.running[0].run.progress == "5%");
  BOOST_TEST(reading.running[1].run.progress.empty());
  BOOST_TEST(reading.running[2].run.progress == "3%");
  reading = reading_of({job("1")});
  notes.apply(reading);
  BOOST_TEST(reading.running[0].run.progress.empty());
}

BOOST_AUTO_TEST_CASE(answers_of_others_are_refused) {
  top_reading reading;
  for (const auto* answer : {"", "[]", "{}", R"({"queues":1,"jobs":1,"checks":1})"}) {
    BOOST_CHECK_THROW(add_counts(reading, answer), command_error);
    BOOST_CHECK_THROW(add_pauses(reading, answer), command_error);
    BOOST_CHECK_THROW(set_running(reading, answer), command_error);
    BOOST_CHECK_THROW(set_nodes(reading, answer), command_error);
    BOOST_CHECK_THROW(set_health(reading, answer), command_error);
  }
}
