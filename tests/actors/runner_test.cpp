// RUNNER: one report per run, whatever the handler does and whenever it answers.
#include "actors/runner.hpp"
#include "tests/actors/deterministic_system.hpp"

#include <stdexcept>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct running : deterministic_system {
  std::shared_ptr<std::vector<job_report>> reports = std::make_shared<std::vector<job_report>>();
  job_run_ptr held_run;
  completion held;
  handler_table_ptr table;
  job_reports_actor executor;
  runner_impl one;

  running() {
    handler_table handlers;
    handlers["sync"] = [](job_run_ptr run, completion done) { done(completed(run->args)); };
    handlers["hold"] = [this](job_run_ptr run, completion done) {
      held_run = std::move(run);
      held = std::move(done);
    };
    handlers["brief"] = {handlers["hold"].start, {.timeout = 200ms}};
    handlers["throw"] = [](const job_run_ptr&, const completion&) {
      throw std::runtime_error("went wrong");
    };
    handlers["throw int"] = [](const job_run_ptr&, const completion&) { throw 42; };
    handlers["answer and throw"] = [](const job_run_ptr&, const completion& done) {
      done(completed("1"));
      throw std::runtime_error("too late");
    };
    handlers["drop"] = [](const job_run_ptr&, const completion&) {};
    handlers["twice"] = [](const job_run_ptr&, const completion& done) {
      done(completed("1"));
      done(failed("2"));
    };
    table = std::make_shared<const handler_table>(std::move(handlers));
    executor =
        spawn([kept = reports](job_reports_actor::pointer) -> job_reports_actor::behavior_type {
          return {[kept](const job_report& told) { kept->push_back(told); }};
        });
    use(nullptr);
  }
  void use(const std::shared_ptr<const work_peers>& peers) {
    one = spawn(runner, std::size_t{3}, executor, table, peers, std::chrono::milliseconds{60s});
  }
  ~running() { held = {}; }

  void start(const std::string& kind,
             std::optional<std::chrono::milliseconds> timeout = std::nullopt) {
    auto run_it = std::make_shared<job_run>();
    run_it->id = job_id{++last};
    run_it->kind = kind;
    run_it->args = "7";
    run_it->timeout = timeout;
    caf::anon_send(one, assignment{run_it, lease_id{1}});
    run();
  }
  void finish(job_result result) {
    held(std::move(result));
    run();
  }
  const job_report& only() const {
    BOOST_REQUIRE(reports->size() == 1U);
    return reports->front();
  }
  std::int64_t last = 0;
};

} // namespace

/// A run whose words LOGBOOK has and cannot store yet: the test answers for it.
struct speaking : running {
  using logbook_double = logbook_actor::extend<caf::reacts_to<act>>;
  using promises = std::deque<caf::typed_response_promise<bool>>;
  std::shared_ptr<promises> drains = std::make_shared<promises>();
  logbook_double logbook;

  speaking() {
    logbook = spawn([kept = drains](logbook_double::pointer self) -> logbook_double::behavior_type {
      return {[](const told_line&) {}, [](const run_reporter_ptr&) {},
              [=](drain_atom) -> caf::result<bool> {
                auto promise = self->make_response_promise<bool>();
                kept->push_back(promise);
                return promise;
              },
              [](const act& what) { (*what)(); }};
    });
    const auto peers = std::make_shared<work_peers>();
    peers->logbook = logbook;
    use(peers);
  }
  ~speaking() { drains->clear(); }
  void stored() {
    BOOST_REQUIRE(!drains->empty());
    caf::anon_send(logbook, std::make_shared<std::function<void()>>([kept = drains] {
                     kept->front().deliver(true);
                     kept->pop_front();
                   }));
    run();
  }
};

BOOST_FIXTURE_TEST_SUITE(runs, running)

BOOST_AUTO_TEST_CASE(an_answer_on_the_spot_is_reported_once) {
  start("sync");
  BOOST_TEST(only().runner == 3U);
  BOOST_TEST(only().result->result == "7");
  BOOST_TEST(only().idle);
  BOOST_TEST(only().run.run->id == job_id{1});
  BOOST_TEST(only().run.lease == lease_id{1});
}

BOOST_AUTO_TEST_CASE(a_later_answer_is_reported_when_it_comes) {
  start("hold");
  BOOST_TEST(reports->empty());
  advance(30ms);
  finish(failed("x"));
  BOOST_TEST((only().result->kind == job_result::verdict::failed));
  BOOST_TEST((only().finished - only().started == 30ms));
  finish(completed()); // ignored
  BOOST_TEST(reports->size() == 1U);
  start("sync"); // and the runner is fit for the next
  BOOST_TEST(reports->size() == 2U);
}

BOOST_AUTO_TEST_CASE(handlers_that_throw_fail_and_the_runner_lives) {
  start("throw");
  BOOST_TEST(only().result->error == "went wrong");
  reports->clear();
  start("throw int");
  BOOST_TEST((only().result->kind == job_result::verdict::failed));
  BOOST_TEST(only().result->error != "");
  reports->clear();
  start("answer and throw");
  BOOST_TEST(only().result->result == "1");
  reports->clear();
  start("twice");
  BOOST_TEST(only().result->result == "1");
}

BOOST_AUTO_TEST_CASE(a_kind_nobody_runs_here_fails_with_its_name) {
  start("unheard.of");
  BOOST_TEST(only().result->error == "no handler for kind 'unheard.of' on this node");
}

BOOST_AUTO_TEST_CASE(a_dropped_completion_fails) {
  start("drop");
  BOOST_TEST(only().result->error == "handler dropped its completion");
  reports->clear();
  start("hold");
  held = {};
  run();
  BOOST_TEST(only().result->error == "handler dropped its completion");
}

BOOST_AUTO_TEST_CASE(
    past_its_deadline_a_run_fails_at_once_and_its_late_answer_only_frees_the_slot) {
  start("hold", 100ms);
  advance(90ms);
  BOOST_TEST(reports->empty());
  BOOST_TEST(!held_run->stop.stop_requested());
  advance(20ms);
  BOOST_TEST(only().result->error == "timed out after 100 ms");
  BOOST_TEST(!only().idle);
  BOOST_TEST(held_run->stop.stop_requested());
  advance(10s);
  BOOST_TEST(reports->size() == 1U);
  finish(completed("late"));
  BOOST_REQUIRE(reports->size() == 2U);
  BOOST_TEST(!reports->back().result.has_value());
  BOOST_TEST(reports->back().idle);
}

BOOST_AUTO_TEST_CASE(the_deadline_of_an_earlier_run_does_not_hit_the_next) {
  start("hold", 100ms);
  finish(completed());
  start("hold");
  reports->clear();
  advance(1s);
  BOOST_TEST(reports->empty());
  BOOST_TEST(!held_run->stop.stop_requested());
}

BOOST_AUTO_TEST_CASE(many_short_runs_with_long_deadlines_do_not_pile_up_timers) {
  for (int i = 0; i < 1000; ++i) {
    start("sync", i % 2 ? 1h : 2h);
    advance(1ms);
  }
  BOOST_TEST((state_of<runner_state, runner_impl>(one).timers.size() <= 2U));
  reports->clear();
  start("hold", 90min);
  advance(89min, 1s);
  BOOST_TEST(reports->empty());
  advance(90s, 1s);
  BOOST_TEST(only().result->error == "timed out after 5400000 ms");
  start("hold", 5s); // shorter than what is armed
  reports->clear();
  advance(6s, 100ms);
  BOOST_TEST(reports->size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_cancel_requests_stop_and_the_handler_still_answers) {
  start("hold");
  bool called = false;
  const std::stop_callback callback(held_run->stop, [&] { called = true; });
  caf::anon_send(one, cancel_atom_v);
  run();
  BOOST_TEST(called);
  BOOST_TEST(reports->empty());
  finish(failed("stopped"));
  BOOST_TEST(only().result->error == "stopped");
  start("hold"); // a fresh token
  BOOST_TEST(!held_run->stop.stop_requested());
}

BOOST_AUTO_TEST_CASE(a_run_that_goes_on_long_after_it_was_asked_to_stop_is_given_up) {
  start("hold");
  caf::anon_send(one, cancel_atom_v);
  advance(59s, 1s);
  BOOST_TEST(reports->empty());
  BOOST_TEST(!held_run->given_up.stop_requested());
  advance(2s, 1s);
  BOOST_TEST(only().result->error == "it did not stop within 60000 ms of being asked to");
  BOOST_TEST(only().stuck);
  BOOST_TEST(!only().idle);
  BOOST_TEST(held_run->given_up.stop_requested());
  advance(10min, 1min);
  finish(completed("late"));
  BOOST_REQUIRE(reports->size() == 2U);
  BOOST_TEST(!reports->back().result.has_value());
  BOOST_TEST(!reports->back().stuck);
  BOOST_TEST(reports->back().idle);
}

BOOST_AUTO_TEST_CASE(
    past_its_deadline_a_run_that_goes_on_gives_its_slot_up_without_another_outcome) {
  start("hold", 1s);
  advance(2s, 1s);
  BOOST_TEST(only().result->error == "timed out after 1000 ms");
  BOOST_TEST(!only().stuck);
  advance(60s, 1s);
  BOOST_REQUIRE(reports->size() == 2U);
  BOOST_TEST(!reports->back().result.has_value());
  BOOST_TEST(reports->back().stuck);
  finish(completed("late"));
  BOOST_REQUIRE(reports->size() == 3U);
  BOOST_TEST(reports->back().idle);
}

BOOST_AUTO_TEST_CASE(patience_with_an_earlier_run_does_not_end_the_next) {
  start("hold");
  caf::anon_send(one, cancel_atom_v);
  run();
  finish(failed("stopped"));
  start("hold");
  reports->clear();
  advance(5min, 1s);
  BOOST_TEST(reports->empty());
  BOOST_TEST(!held_run->given_up.stop_requested());
}

BOOST_AUTO_TEST_CASE(a_kinds_timeout_is_for_jobs_that_name_none) {
  start("brief");
  advance(300ms);
  BOOST_TEST(only().result->error == "timed out after 200 ms");
  BOOST_TEST((held_run->timeout == 200ms));
  finish(completed());
  reports->clear();
  start("brief", 1s);
  advance(300ms);
  BOOST_TEST(reports->empty());
}

BOOST_AUTO_TEST_CASE(an_answer_after_the_runners_end_goes_nowhere) {
  start("hold");
  caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
  run();
  BOOST_TEST(ended(one));
  finish(completed());
  BOOST_TEST(reports->empty());
}

BOOST_FIXTURE_TEST_CASE(an_outcome_is_reported_behind_what_the_run_said, speaking) {
  start("hold", 100ms);
  held_run->log("a");
  finish(completed("1"));
  BOOST_TEST(reports->empty());
  advance(10s); // its time is over meanwhile, but it has answered in time
  BOOST_TEST(reports->empty());
  stored();
  BOOST_TEST(only().result->result == "1");
  BOOST_TEST(only().idle);
  start("sync"); // which says nothing waits for nothing
  BOOST_TEST(reports->size() == 2U);
  BOOST_TEST(drains->empty());
}

BOOST_FIXTURE_TEST_CASE(a_late_answer_does_not_pass_the_timeout_it_missed, speaking) {
  start("hold", 100ms);
  held_run->progress(50);
  advance(200ms);
  finish(completed("late"));
  BOOST_TEST(reports->empty());
  stored();
  BOOST_TEST(only().result->error == "timed out after 100 ms");
  BOOST_TEST(!only().idle);
  stored();
  BOOST_REQUIRE(reports->size() == 2U);
  BOOST_TEST(!reports->back().result);
  BOOST_TEST(reports->back().idle);
}

BOOST_AUTO_TEST_SUITE_END()
