// The server's answers as `troupe top` reads them.
#include "cli/exit_code.hpp"
#include "cli/top_reading.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe::cli;
using std::chrono::system_clock;

namespace {

running_job job(const std::string& id, const std::string& attempt = "1") {
  return {id, "q", "k", attempt, "3", {}};
}

run_details since(int seconds) {
  return {"n", "", system_clock::time_point{std::chrono::seconds{seconds}}};
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

BOOST_AUTO_TEST_CASE(a_run_is_read_with_its_start_and_progress) {
  const auto run = read_run(R"({"id":"1","progress":{"percent":45,"message":"half"},"attempts":[
      {"attempt":1,"node":"gone","started_at":"2026-11-28T08:00:00.000000Z"},
      {"attempt":2,"node":"n2","started_at":"2026-11-28T08:55:05.250000Z"}]})");
  BOOST_TEST(run.node == "n2");
  BOOST_TEST(run.progress == "45%, half");
  BOOST_TEST(run.started->time_since_epoch() / std::chrono::milliseconds{1} == 1795856105250);
  const auto nothing = read_run(R"({"id":"1","progress":null,"attempts":[]})");
  BOOST_TEST(nothing.node.empty());
  BOOST_TEST(!nothing.started.has_value());
}

BOOST_AUTO_TEST_CASE(only_times_in_utc_are_times) {
  BOOST_TEST(read_time("1970-01-01T00:00:01Z")->time_since_epoch().count() == 1'000'000'000);
  for (const auto* text : {"", "now", "2026-11-28", "2026-11-28T08:55:05",
                           "2026-11-28T08:55:05+01:00", "2026-11-28 08:55:05Z"})
    BOOST_TEST(!read_time(text).has_value(), text);
}

BOOST_AUTO_TEST_CASE(jobs_of_which_nothing_is_known_are_asked_for_first) {
  run_notes notes;
  top_reading reading;
  for (const auto* id : {"5", "4", "3", "2"})
    reading.running.push_back(job(id));
  using ids = std::vector<std::string>;
  BOOST_TEST((notes.wanted(reading, 3) == ids{"5", "4", "3"}));
  for (const auto* id : {"5", "4", "3"})
    notes.keep(job(id), since(100 - *id));
  BOOST_TEST((notes.wanted(reading, 3) == ids{"2", "5", "4"}));
  notes.keep(job("2"), since(10));
  notes.keep(job("5"), since(100 - '5'));
  BOOST_TEST((notes.wanted(reading, 9) == ids{"4", "3", "2", "5"}));
  reading.running.push_back(job("4", "2")); // another attempt is another run
  BOOST_TEST((notes.wanted(reading, 1) == ids{"4"}));
}

BOOST_AUTO_TEST_CASE(the_oldest_run_stands_first_and_ended_ones_are_forgotten) {
  run_notes notes;
  top_reading reading;
  for (const auto* id : {"5", "4", "3"})
    reading.running.push_back(job(id));
  notes.keep(job("5"), since(10));
  notes.keep(job("3"), since(20));
  notes.keep(job("1"), since(1));
  notes.apply(reading);
  BOOST_TEST(reading.running[0].id == "5");
  BOOST_TEST(reading.running[1].id == "3");
  BOOST_TEST(reading.running[2].id == "4");
  BOOST_TEST(reading.running[0].run.node == "n");
  reading.running = {job("1")};
  BOOST_TEST(notes.wanted(reading, 1).size() == 1);
  notes.apply(reading);
  BOOST_TEST(!reading.running[0].run.started.has_value());
}

BOOST_AUTO_TEST_CASE(answers_of_others_are_refused) {
  top_reading reading;
  for (const auto* answer : {"", "[]", "{}", R"({"queues":1,"jobs":1,"checks":1})"}) {
    BOOST_CHECK_THROW(add_counts(reading, answer), command_error);
    BOOST_CHECK_THROW(add_pauses(reading, answer), command_error);
    BOOST_CHECK_THROW(set_running(reading, answer), command_error);
    BOOST_CHECK_THROW(set_health(reading, answer), command_error);
  }
}
