// The actors that live by the clock: PULSE, SCHEDULER, JANITOR. In virtual time,
// over a STORE that the test answers for.
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
  pulse_actor one = spawn(
      pulse_of_node, pulse_options{.node_name = "n1", .kinds = {"echo", "noop"}, .interval = 1s},
      store, told_executor, told_scheduler, told_janitor, &counters);
  bool left = false;

  beating() { run(); }
  void join(std::int64_t id = 1) { answer(in->joins, node_id{id}); }
  void news(node_id of = {}) {
    caf::anon_send(one, beat_atom_v, of);
    run();
  }
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

} // namespace

BOOST_FIXTURE_TEST_SUITE(pulses, beating)

BOOST_AUTO_TEST_CASE(it_joins_and_beats_once_an_interval) {
  BOOST_TEST(in->joins.front().name == "n1");
  BOOST_TEST(!in->joins.front().draining);
  BOOST_TEST((in->joins.front().kinds == std::vector<std::string>{"echo", "noop"}));
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

BOOST_AUTO_TEST_CASE(a_drain_is_passed_on_once_and_goes_on_in_the_next_life) {
  join(1);
  auto said = alive();
  answer(in->beats, said);
  said.draining = true;
  for (int i = 0; i < 2; ++i) {
    advance(1s);
    answer(in->beats, said);
  }
  BOOST_TEST(notes->drains == std::vector{true}, boost::test_tools::per_element());
  advance(1s);
  said.alive = false; // declared dead
  answer(in->beats, said);
  said.alive = true;
  BOOST_TEST(in->joins.front().draining);
  join(2);
  answer(in->beats, said);
  BOOST_TEST(notes->drains == std::vector{true}, boost::test_tools::per_element());
  advance(1s);
  answer(in->beats, alive());
  BOOST_TEST(notes->drains == (std::vector{true, false}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_life_that_was_drained_while_it_was_silent_goes_on_drained) {
  join(1);
  pulse last;
  last.draining = true;
  answer(in->beats, last);
  BOOST_TEST(in->joins.front().draining);
  BOOST_TEST(notes->drains == std::vector{true}, boost::test_tools::per_element());
  join(2);
  advance(1s);
  answer(in->beats, alive()); // and resumed
  BOOST_TEST(notes->drains == (std::vector{true, false}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(more_kinds_than_the_bound_are_not_told) {
  pulse_options many{.node_name = "n2"};
  many.kinds.assign(pulse_options::most_kinds, "kind");
  const auto joins = [&] {
    const pulse_actor other =
        spawn(pulse_of_node, many, store, told_executor, told_scheduler, told_janitor, &counters);
    run();
    return in->joins.waiting.back().ask.kinds.has_value();
  };
  BOOST_TEST(joins());
  many.kinds.emplace_back("one_more");
  BOOST_TEST(!joins());
}

BOOST_AUTO_TEST_CASE(declared_dead_it_joins_anew) {
  join(1);
  answer(in->beats, pulse{});
  BOOST_TEST(in->joins.size() == 1U);
  // The life is over for EXECUTOR before the next one begins.
  BOOST_TEST(notes->nodes == (std::vector{node_id{1}, node_id{}}),
             boost::test_tools::per_element());
  join(2);
  BOOST_TEST(notes->nodes == (std::vector{node_id{1}, node_id{}, node_id{2}}),
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

BOOST_AUTO_TEST_CASE(when_there_is_news_it_beats_at_once_and_goes_on_as_before) {
  news(); // before it has joined: its first beat tells all
  join(7);
  answer(in->beats, alive());
  advance(300ms);
  news(node_id{8}); // of another node
  BOOST_TEST(in->beats.empty());
  news(node_id{7});
  BOOST_TEST(in->beats.size() == 1U);
  answer(in->beats, alive());
  advance(990ms);
  BOOST_TEST(in->beats.empty()); // the clock begins anew
  advance(20ms);
  BOOST_TEST(in->beats.size() == 1U);
  BOOST_TEST(in->beats.seen == 3);
}

BOOST_AUTO_TEST_CASE(news_that_comes_all_the_time_costs_a_beat_in_twenty_milliseconds) {
  join();
  for (int i = 0; i < 1000; ++i) { // one second
    news();
    if (!in->beats.empty())
      answer(in->beats, alive());
    advance(1ms, 1ms);
  }
  BOOST_TEST(in->beats.seen > 40);
  BOOST_TEST(in->beats.seen <= 52);
}

BOOST_AUTO_TEST_CASE(what_came_during_a_beat_is_asked_for_again) {
  join();
  news();
  news();
  answer(in->beats, alive());
  BOOST_TEST(in->beats.empty());
  advance(30ms);
  BOOST_TEST(in->beats.size() == 1U);
  answer(in->beats, alive());
  advance(900ms);
  BOOST_TEST(in->beats.empty());
}

BOOST_AUTO_TEST_CASE(at_the_drain_it_leaves_and_is_silent) {
  join();
  drain();
  BOOST_TEST(!left);
  BOOST_TEST(in->leaves.front().node == node_id{1});
  answer(in->leaves, caf::unit);
  BOOST_TEST(left);
  answer(in->beats, pulse{}); // was on its way: "you are dead" does not make it join
  news();
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
  answer(in->rescues, rescued_jobs{3, 1, {"a", "b"}, 2});
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

BOOST_AUTO_TEST_CASE(steps_of_operations_follow_each_other_without_a_pause) {
  const janitor_impl one = spawn(janitor, store, told_executor, &counters);
  run();
  BOOST_REQUIRE(in->steps.size() == 1U); // one that a node before us has left
  caf::anon_send(one, wake_atom_v);
  run();
  BOOST_REQUIRE(in->steps.size() == 1U); // never two at once
  stepped_bulk moved;
  moved.id = 3;
  moved.queues = {"a", "b"};
  answer(in->steps, moved);
  BOOST_TEST(notes->wakes == (std::vector<std::string>{"a", "b"}),
             boost::test_tools::per_element());
  BOOST_REQUIRE(in->steps.size() == 1U);
  stepped_bulk cancelled;
  cancelled.id = 3;
  cancelled.running = {job_id{8}};
  answer(in->steps, cancelled);
  BOOST_TEST(notes->cancels == std::vector{job_id{8}}, boost::test_tools::per_element());
  BOOST_REQUIRE(in->steps.size() == 1U);
  answer(in->steps, stepped_bulk{});
  BOOST_TEST(in->steps.empty());
  caf::anon_send(one, node_id{4}); // dead nodes are rescued in between
  caf::anon_send(one, wake_atom_v);
  run();
  BOOST_TEST(in->rescues.size() == 1U);
  refuse(in->steps, errc::unavailable);
  BOOST_TEST(in->steps.empty());
  answer(in->upkeeps, upkept{});
  answer(in->counts, counts_page{});
  answer(in->expiries, expired_jobs{});
  advance(10s, 100ms);
  BOOST_TEST(in->steps.size() == 1U); // tried again by the clock
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

BOOST_AUTO_TEST_CASE(measures_are_read_one_at_a_time_and_nobody_waits_for_them) {
  const janitor_impl one = spawn(janitor, store, told_executor, &counters);
  run();
  BOOST_REQUIRE(in->measures.size() == 1U);
  BOOST_TEST(in->measures.front().queues == limits::measured_queues);
  answer(in->upkeeps, upkept{});
  answer(in->counts, counts_page{});
  answer(in->expiries, expired_jobs{});
  advance(10s, 100ms);
  BOOST_TEST(in->measures.size() == 1U); // the first is not answered
  BOOST_TEST(in->upkeeps.size() == 1U);
  answer(in->measures, database_measures{{{"mail", 7.5}}, {}, 1});
  BOOST_REQUIRE((counters.measured.load() != nullptr));
  BOOST_TEST(counters.measured.load()->ages.at(0).seconds == 7.5);
  answer(in->upkeeps, upkept{});
  answer(in->counts, counts_page{});
  answer(in->expiries, expired_jobs{});
  advance(10s, 100ms);
  BOOST_REQUIRE(in->measures.size() == 1U);
  refuse(in->measures, errc::unavailable);
  BOOST_TEST(counters.measured.load()->ages.at(0).seconds == 7.5);
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
