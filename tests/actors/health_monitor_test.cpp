// HEALTH MONITOR in virtual time, over a STORE that the test answers for.
#include "actors/health_monitor.hpp"
#include "tests/actors/deterministic_system.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct watching : store_system {
  std::shared_ptr<health_board> board = std::make_shared<health_board>();
  database_metrics metrics;
  std::optional<disk_space> disk = disk_space{std::uint64_t{50} << 30, std::uint64_t{100} << 30};
  health_check certificate{.name = "certificate", .detail = {}};
  health_monitor_actor one = spawn(
      health_monitor,
      [this] {
        health_monitor_options options;
        options.disk = [this] { return disk; };
        options.certificate = [this] { return certificate; };
        return options;
      }(),
      store, &counters, &metrics, board);

  watching() { run(); }
  static database_probe sound() {
    database_probe said;
    said.schema_version = 1;
    said.now =
        std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
    return said;
  }
  /// Answers, and goes on to the next question.
  health_report check(const database_probe& said) {
    answer(in->probes, said);
    const auto last = board->last();
    BOOST_REQUIRE(last);
    await_question();
    return *last;
  }
  void await_question() {
    if (counters.heartbeats > 0)
      ++counters.heartbeats;
    for (int i = 0; in->probes.empty() && i < 600; ++i)
      advance(10ms);
    BOOST_REQUIRE(in->probes.size() == 1U);
  }
  const health_check& see(const std::string& name) {
    seen = board->last();
    for (const auto& each : seen->checks)
      if (each.name == name)
        return each;
    throw std::out_of_range(name);
  }
  std::shared_ptr<const health_report> seen;
  void joined() {
    counters.heartbeats = 1;
    counters.connections_open = 4;
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(health, watching)

BOOST_AUTO_TEST_CASE(failing_before_the_first_heartbeat_and_ready_after) {
  BOOST_TEST(!board->last());
  counters.connections_open = 4;
  auto report = check(sound());
  BOOST_TEST(!report.ready);
  BOOST_TEST((report.status == health_status::failing));
  joined();
  report = check(sound());
  BOOST_TEST(report.ready);
  BOOST_TEST((report.status == health_status::ok));
  BOOST_TEST(report.checks.size() == 11U);
}

BOOST_AUTO_TEST_CASE(a_database_that_refuses_is_not_ready_and_recovers) {
  joined();
  BOOST_TEST(check(sound()).ready);
  refuse(in->probes, errc::unavailable, "no database connection: refused");
  BOOST_TEST(!board->last()->ready);
  BOOST_TEST((see("database").status == health_status::failing));
  BOOST_TEST(see("database").detail == "no database connection: refused");
  advance(110ms); // asked more often now
  BOOST_TEST(in->probes.size() == 1U);
  BOOST_TEST(check(sound()).ready);
}

BOOST_AUTO_TEST_CASE(a_database_that_is_silent_is_failing_before_it_answers) {
  joined();
  auto said = sound();
  said.durable = false;
  check(said);
  advance(1400ms);
  BOOST_TEST(board->last()->ready);
  advance(200ms);
  BOOST_TEST(!board->last()->ready);
  BOOST_TEST(see("database").detail.starts_with("no answer for 1"));
  // What it said last stays, with the time when it did; what is here is looked at again and again.
  BOOST_TEST((see("durability").status == health_status::degraded));
  BOOST_TEST(see("durability").taken_at.has_value());
  counters.connections_open = 0;
  advance(3s);
  BOOST_TEST((see("pool").status == health_status::failing));
  BOOST_TEST(in->probes.seen == 2); // no second question behind the first
  counters.connections_open = 4;
  answer(in->probes, sound());
  BOOST_TEST(board->last()->ready);
  BOOST_TEST((see("database").status == health_status::degraded)); // slow
  BOOST_TEST((see("durability").status == health_status::ok));
  await_question();
  BOOST_TEST((check(sound()).status == health_status::ok));
}

BOOST_AUTO_TEST_CASE(each_answer_of_the_database_is_judged) {
  joined();
  const auto judged = [&](auto spoil) {
    auto said = sound();
    spoil(said);
    return check(said).status;
  };
  BOOST_TEST((judged([](auto& p) { p.in_recovery = true; }) == health_status::failing));
  BOOST_TEST((judged([](auto& p) { p.read_only = true; }) == health_status::failing));
  BOOST_TEST((judged([](auto& p) { p.schema_version = 0; }) == health_status::failing));
  BOOST_TEST((judged([](auto& p) { p.schema_version = 2; }) == health_status::failing));
  BOOST_TEST((judged([](auto& p) { p.durable = false; }) == health_status::degraded));
  BOOST_TEST((judged([](auto& p) { p.now -= 10s; }) == health_status::degraded));
  BOOST_TEST((judged([](auto& p) { p.overdue = 11s; }) == health_status::degraded));
  BOOST_TEST((judged([](auto&) {}) == health_status::ok));
}

BOOST_AUTO_TEST_CASE(what_is_here_is_judged_too) {
  joined();
  counters.pool_refused = 3;
  BOOST_TEST((check(sound()).status == health_status::degraded));
  BOOST_TEST(see("pool").detail.starts_with("3 callers were turned away"));
  BOOST_TEST((check(sound()).status == health_status::ok)); // none since
  metrics.acquire.record(900ms);
  BOOST_TEST((check(sound()).status == health_status::degraded));
  disk = disk_space{std::uint64_t{5} << 30, std::uint64_t{100} << 30};
  BOOST_TEST((check(sound()).status == health_status::degraded));
  disk->free = 0;
  BOOST_TEST(!check(sound()).ready);
  BOOST_TEST((see("disk").status == health_status::failing));
  disk->free = disk->total;
  certificate.status = health_status::failing;
  BOOST_TEST(!check(sound()).ready);
  BOOST_TEST((see("certificate").status == health_status::failing));
}

BOOST_AUTO_TEST_CASE(a_node_whose_heart_stops_or_whose_jobs_do_not_end_is_degraded) {
  joined();
  counters.backlog = 4;
  counters.running = 2;
  for (int i = 0; i < 20; ++i) // a hundred seconds
    check(sound());
  BOOST_TEST((see("executor").status == health_status::degraded));
  counters.attempts_completed = 1;
  check(sound());
  BOOST_TEST((see("executor").status == health_status::ok));
  answer(in->probes, sound());
  for (int i = 0; i < 3; ++i) {
    advance(5s);
    answer(in->probes, sound());
  }
  BOOST_TEST((see("heartbeat").status == health_status::degraded));
}

BOOST_AUTO_TEST_SUITE_END()
