// The actors that live by the clock: PULSE, SCHEDULER, JANITOR, HEALTH MONITOR. In virtual time,
// over a STORE that the test answers for.
#include "actors/health_monitor.hpp"
#include "actors/janitor.hpp"
#include "actors/pulse.hpp"
#include "actors/scheduler.hpp"
#include "tests/actors/deterministic_system.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct clockwork : store_system {
  std::shared_ptr<executor_notes> notes = std::make_shared<executor_notes>();
  executor_actor told_executor = spawn(executor_double, notes);
};

struct beating : clockwork {
  std::shared_ptr<std::vector<caf::timespan>> dues = std::make_shared<std::vector<caf::timespan>>();
  std::shared_ptr<std::vector<node_id>> dead = std::make_shared<std::vector<node_id>>();
  scheduler_actor told_scheduler = spawn(scheduler_double, dues);
  janitor_actor told_janitor = spawn(janitor_double, dead);
  pulse_actor one = spawn(pulse_of_node, pulse_options{.node_name = "n1", .interval = 1s}, store,
                          told_executor, told_scheduler, told_janitor, &counters);
  bool left = false;

  beating() { run(); }
  void join(std::int64_t id = 1) { answer(in->joins, node_id{id}); }
  static pulse alive() {
    pulse said;
    said.alive = true;
    return said;
  }
  void drain() {
    spawn([target = one, flag = &left](caf::event_based_actor* self) {
      self->request(target, caf::infinite, drain_atom_v).then([flag] { *flag = true; });
    });
    run();
  }
};

struct scheduling : clockwork {
  scheduler_impl one = spawn(scheduler, store, told_executor, &counters);

  void due(caf::timespan delay) {
    caf::anon_send(one, due_atom_v, delay);
    run();
  }
  void due_now() {
    due(0s);
    advance(1ms); // what is sent later by nothing needs a tick of the clock, too
  }
  static promoted_jobs moved(std::int64_t count,
                             std::optional<std::chrono::milliseconds> next = std::nullopt) {
    promoted_jobs said;
    said.count = count;
    said.next_due = next;
    if (count > 0)
      said.queues = {"q"};
    return said;
  }
};

struct watching : clockwork {
  std::shared_ptr<health_board> board = std::make_shared<health_board>();
  database_metrics metrics;
  std::optional<disk_space> disk = disk_space{std::uint64_t{50} << 30, std::uint64_t{100} << 30};
  health_monitor_actor one = spawn(
      health_monitor,
      [this] {
        health_monitor_options options;
        options.disk = [this] { return disk; };
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

BOOST_FIXTURE_TEST_SUITE(pulses, beating)

BOOST_AUTO_TEST_CASE(it_joins_and_beats_once_an_interval) {
  BOOST_TEST(in->joins.front().name == "n1");
  join(7);
  BOOST_TEST(notes->nodes == std::vector{node_id{7}}, boost::test_tools::per_element());
  BOOST_TEST(in->beats.front().node == node_id{7});
  advance(5s);
  BOOST_TEST(in->beats.size() == 1U); // none while one is unanswered
  answer(in->beats, alive());
  advance(990ms);
  BOOST_TEST(in->beats.empty());
  advance(20ms);
  BOOST_TEST(in->beats.size() == 1U);
  BOOST_TEST(counters.heartbeats == 1U);
}

BOOST_AUTO_TEST_CASE(what_the_answer_says_reaches_those_it_concerns) {
  join();
  auto said = alive();
  said.dead = {node_id{4}, node_id{5}};
  said.cancelled = {job_id{8}};
  said.leases = {lease_id{3}};
  said.queues = {"a", "b"};
  said.next_due = 250ms;
  answer(in->beats, said);
  BOOST_TEST(dead->size() == 2U);
  BOOST_TEST(notes->cancels == std::vector{job_id{8}}, boost::test_tools::per_element());
  BOOST_REQUIRE(notes->leases.size() == 1U);
  BOOST_TEST(notes->leases[0] == std::vector{lease_id{3}}, boost::test_tools::per_element());
  BOOST_TEST(notes->wakes == (std::vector<std::string>{"a", "b"}),
             boost::test_tools::per_element());
  BOOST_REQUIRE(dues->size() == 1U);
  BOOST_TEST((dues->front() == caf::timespan{250ms}));
}

BOOST_AUTO_TEST_CASE(declared_dead_it_joins_anew) {
  join(1);
  answer(in->beats, pulse{});
  BOOST_TEST(in->joins.size() == 1U);
  join(2);
  BOOST_TEST(notes->nodes == (std::vector{node_id{1}, node_id{2}}),
             boost::test_tools::per_element());
  BOOST_TEST(in->beats.front().node == node_id{2});
}

BOOST_AUTO_TEST_CASE(without_a_database_it_keeps_trying) {
  for (int i = 0; i < 5; ++i) {
    refuse(in->joins, errc::unavailable);
    BOOST_TEST(in->joins.empty());
    advance(1s);
  }
  join();
  for (int i = 0; i < 5; ++i) {
    refuse(in->beats, errc::unavailable);
    advance(1s);
  }
  BOOST_TEST(counters.heartbeats == 0U);
  answer(in->beats, alive());
  BOOST_TEST(counters.heartbeats == 1U);
  BOOST_TEST(in->joins.seen == 6);
}

BOOST_AUTO_TEST_CASE(at_the_drain_it_leaves_and_is_silent) {
  join();
  drain();
  BOOST_TEST(!left);
  BOOST_TEST(in->leaves.front().node == node_id{1});
  answer(in->leaves, caf::unit);
  BOOST_TEST(left);
  answer(in->beats, pulse{}); // was on its way: "you are dead" does not make it join
  advance(5s);
  BOOST_TEST(in->joins.empty());
  BOOST_TEST(in->beats.empty());
}

BOOST_AUTO_TEST_CASE(a_drain_before_it_has_joined_is_answered_at_once) {
  drain();
  BOOST_TEST(left);
  BOOST_TEST(in->leaves.empty());
}

BOOST_AUTO_TEST_CASE(a_join_that_is_answered_after_the_drain_is_left_again) {
  drain();
  join(3);
  BOOST_REQUIRE(in->leaves.size() == 1U);
  BOOST_TEST(in->leaves.front().node == node_id{3});
  BOOST_TEST(notes->nodes.empty());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(schedules, scheduling)

BOOST_AUTO_TEST_CASE(the_timer_is_armed_for_the_earliest_and_later_ones_do_not_postpone_it) {
  due(10s);
  due(2s);
  due(20s);
  advance(1990ms);
  BOOST_TEST(in->promotions.empty());
  advance(20ms);
  BOOST_REQUIRE(in->promotions.size() == 1U);
  answer(in->promotions, moved(1, 8s));
  BOOST_TEST(notes->wakes == std::vector<std::string>{"q"}, boost::test_tools::per_element());
  BOOST_TEST(counters.jobs_promoted == 1U);
  advance(7900ms); // the first timer, for what is known since, fires in this time and is ignored
  BOOST_TEST(in->promotions.empty());
  advance(200ms);
  BOOST_TEST(in->promotions.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_full_batch_goes_on_at_once_and_an_empty_answer_rests) {
  due_now();
  answer(in->promotions, moved(scheduler_state::batch));
  BOOST_REQUIRE(in->promotions.size() == 1U);
  answer(in->promotions, moved(3));
  advance(60s);
  BOOST_TEST(in->promotions.empty());
}

BOOST_AUTO_TEST_CASE(what_becomes_due_during_a_round_gets_a_round_of_its_own) {
  due_now();
  due(10ms);
  advance(50ms);
  BOOST_TEST(in->promotions.size() == 1U);
  answer(in->promotions, moved(0));
  BOOST_TEST(in->promotions.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_failed_round_is_tried_again) {
  due_now();
  refuse(in->promotions, errc::unavailable);
  BOOST_TEST(in->promotions.empty());
  advance(1100ms);
  BOOST_TEST(in->promotions.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_due_job_that_somebody_holds_is_not_asked_for_without_end) {
  due_now();
  for (int i = 0; i < 10; ++i) {
    answer(in->promotions, moved(0, 0ms));
    advance(80ms);
    BOOST_TEST(in->promotions.empty());
    advance(30ms);
  }
  BOOST_TEST(in->promotions.seen == 11);
}

BOOST_AUTO_TEST_CASE(years_away_is_looked_at_now_and_then) {
  due(limits::max_delay);
  advance(29s, 1s);
  BOOST_TEST(in->promotions.empty());
  advance(2s, 1s);
  BOOST_TEST(in->promotions.size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(janitors, clockwork)

BOOST_AUTO_TEST_CASE(a_dead_node_is_rescued_and_its_queues_are_woken) {
  const janitor_impl one = spawn(janitor, store, told_executor, &counters);
  caf::anon_send(one, node_id{4});
  run();
  BOOST_TEST(in->rescues.front().node == node_id{4});
  answer(in->rescues, rescued_jobs{3, 1, {"a", "b"}});
  BOOST_TEST(counters.jobs_rescued == 3U);
  BOOST_TEST(notes->wakes.size() == 2U);
  caf::anon_send(one, node_id{5});
  run();
  refuse(in->rescues, errc::unavailable); // the next pulse names it again
  BOOST_TEST(in->rescues.empty());
  BOOST_TEST(!ended(one));
}

BOOST_AUTO_TEST_CASE(upkeep_goes_on_after_success_and_failure) {
  const janitor_impl one = spawn(janitor, store, told_executor, &counters);
  run();
  for (int i = 0; i < 4; ++i) {
    if (i % 2)
      refuse(in->upkeeps, errc::retry);
    else
      answer(in->upkeeps, upkept{1, 2});
    BOOST_TEST(in->upkeeps.empty());
    if (i == 0)
      answer(in->counts, counts_page{});
    else if (i == 2)
      refuse(in->counts, errc::unavailable);
    if (i == 0)
      answer(in->expiries, expired_jobs{});
    else if (i == 2)
      refuse(in->expiries, errc::retry);
    advance(10s, 100ms);
    BOOST_TEST(in->upkeeps.size() == 1U);
  }
}

BOOST_AUTO_TEST_CASE(counts_are_published_and_kept_while_they_cannot_be_read) {
  const janitor_impl one = spawn(janitor, store, told_executor, &counters);
  run();
  BOOST_TEST((counters.jobs.load() == nullptr));
  answer(in->upkeeps, upkept{});
  BOOST_TEST(in->counts.front().limit == limits::measured_queues);
  answer(in->counts, counts_page{{{"mail", 1, 2, 3, 4, 5, 6, 7}}, {}});
  answer(in->expiries, expired_jobs{});
  advance(10s, 100ms);
  answer(in->upkeeps, upkept{});
  refuse(in->counts, errc::unavailable);
  BOOST_REQUIRE((counters.jobs.load() != nullptr));
  BOOST_TEST(counters.jobs.load()->at(0).available == 2);
}

BOOST_AUTO_TEST_CASE(history_that_can_go_goes_step_by_step_without_long_breaks) {
  const janitor_impl one = spawn(janitor, store, told_executor, &counters);
  run();
  for (const auto* step : {"cut", "sealed", "looked", "dropped", "moved", "again"}) {
    answer(in->upkeeps, upkept{});
    answer(in->counts, counts_page{});
    answer(in->expiries, expired_jobs{step, 1, 20, 3});
    advance(1s, 100ms);
    BOOST_REQUIRE(in->upkeeps.size() == 1U);
  }
  BOOST_TEST(counters.jobs_expired == 120U);
  for (const auto* step : {"waits", "busy", ""}) {
    answer(in->upkeeps, upkept{});
    answer(in->counts, counts_page{});
    answer(in->expiries, expired_jobs{step, 1, 0, 3});
    advance(9s, 100ms);
    BOOST_TEST(in->upkeeps.empty());
    advance(1s, 100ms);
    BOOST_REQUIRE(in->upkeeps.size() == 1U);
  }
}

BOOST_AUTO_TEST_SUITE_END()

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
  BOOST_TEST(report.checks.size() == 10U);
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
