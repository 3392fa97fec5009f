// UNIT OF WORK in virtual time: bursts, loans and what becomes of them, time limits, lost commits.
#include "tests/actors/unit_of_work_fixture.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

using cause = database_metrics::rollback_cause;

BOOST_FIXTURE_TEST_SUITE(units_of_work, working)

BOOST_AUTO_TEST_CASE(calls_that_are_not_awaited_are_one_burst_and_the_loan_ends_with_the_commit) {
  const int begun = ask(db::begin_work{});
  ask(query());
  ask(db::set_savepoint{"a"});
  ask(db::release_savepoint{"a"});
  const int committed = ask(db::commit_work{});
  run();
  BOOST_TEST(sent() == "transaction_begin one savepoint_set savepoint_release transaction_commit");
  BOOST_TEST(out_now() == 1);
  carry_out();
  BOOST_TEST(code(begun) == errc::none);
  BOOST_TEST(code(committed) == errc::none);
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(metrics.transactions == 1U);
  BOOST_TEST(metrics.savepoints == 1U);
}

BOOST_AUTO_TEST_CASE(calls_gather_while_a_burst_is_on_its_way) {
  ask(query());
  run();
  BOOST_TEST(sent() == "transaction_begin one transaction_id");
  ask(query());
  ask(query());
  run();
  BOOST_TEST(out->bursts.size() == 1U);
  carry_out();
  BOOST_TEST(sent() == "one one"); // the transaction's number is known by now
}

BOOST_AUTO_TEST_CASE(calls_made_while_it_waits_for_a_connection_join_the_first_burst) {
  out->lends = false;
  ask(query());
  run();
  ask(db::commit_work{});
  run();
  caf::anon_send(pool, std::make_shared<std::function<void()>>(
                           [this] { out->loans.front().deliver(make_loan(out, connection)); }));
  run();
  BOOST_TEST(sent() == "transaction_begin one transaction_commit");
}

BOOST_AUTO_TEST_CASE(a_connection_that_is_not_to_be_had_is_a_definite_answer) {
  out->lends = false;
  const int asked_first = ask(query());
  const int committed = ask(db::commit_work{});
  run();
  inside_pool([this] { out->loans.front().deliver(make_error(errc::overloaded, "all are busy")); });
  BOOST_TEST(code(asked_first) == errc::overloaded);
  BOOST_TEST(code(committed) == errc::aborted);
  const int rolled_back = ask(db::rollback_work{});
  run();
  BOOST_TEST(code(rolled_back) == errc::none);
}

BOOST_AUTO_TEST_CASE(an_error_outside_of_a_savepoint_gives_the_connection_back_at_once) {
  const int failed = ask(query());
  const int late = ask(db::commit_work{});
  run();
  carry_out(1);
  BOOST_TEST(code(failed) == errc::database);
  BOOST_TEST(code(late) == errc::aborted);
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(rollbacks(cause::failed) == 1U);
  const int refused = ask(query());
  run();
  BOOST_TEST(code(refused) == errc::aborted);
  ask(db::rollback_work{});
  ask(query());
  run();
  BOOST_TEST(sent() == "transaction_begin one transaction_id");
}

BOOST_AUTO_TEST_CASE(a_transaction_begun_behind_a_failed_one_has_another_connection) {
  ask(query());
  run();
  ask(db::rollback_work{});
  const int next = ask(query());
  carry_out(1);
  BOOST_TEST(out->lent == 2);
  BOOST_TEST(out->returned == 1);
  BOOST_TEST(sent() == "transaction_begin one transaction_id");
  carry_out();
  BOOST_TEST(code(next) == errc::none);
}

BOOST_AUTO_TEST_CASE(an_error_inside_a_savepoint_is_rolled_back_before_anything_else_goes_out) {
  ask(db::set_savepoint{"a"});
  run();
  carry_out();
  const int failed = ask(query());
  run();
  const int behind = ask(query()); // its caller does not know
  run();
  carry_out(0);
  BOOST_TEST(code(failed) == errc::database);
  BOOST_TEST(code(behind) == errc::aborted);
  BOOST_TEST(sent() == "savepoint_rollback");
  const int next = ask(query());
  run();
  carry_out();
  BOOST_TEST(sent() == "one transaction_id");
  carry_out();
  BOOST_TEST(code(next) == errc::none);
  BOOST_TEST(out_now() == 1);
}

BOOST_AUTO_TEST_CASE(an_idle_transaction_is_rolled_back_and_says_so) {
  const int first = ask(query());
  run();
  carry_out();
  BOOST_TEST(code(first) == errc::none);
  advance(29s, 100ms);
  BOOST_TEST(out_now() == 1);
  advance(2s, 100ms);
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(rollbacks(cause::timed_out) == 1U);
  const int late = ask(db::commit_work{});
  run();
  BOOST_TEST(code(late) == errc::aborted);
  BOOST_TEST(std::get<failure>(answers.at(late).outcome).detail.find("nothing was asked")
             != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_transaction_that_lasts_too_long_is_rolled_back_even_if_it_is_busy) {
  work_options options;
  options.max_duration = 5s;
  start(options);
  for (int i = 0; i < 6; ++i) {
    ask(query());
    run();
    if (!out->bursts.empty() && i < 4)
      carry_out();
    advance(1s, 100ms);
  }
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(rollbacks(cause::timed_out) == 1U);
  BOOST_TEST(answers.size() == 6U);
  carry_out(); // too late, and harmless
  BOOST_TEST(answers.size() == 6U);
}

BOOST_AUTO_TEST_CASE(a_session_without_a_transaction_may_wait_for_ever) {
  ask(query());
  ask(db::commit_work{});
  run();
  carry_out();
  advance(1h, 10s);
  const int late = ask(query());
  run();
  carry_out();
  BOOST_TEST(code(late) == errc::none);
}

BOOST_AUTO_TEST_CASE(a_forgotten_session_finishes_what_was_asked_and_rolls_the_rest_back) {
  const int asked_last = ask(query());
  caf::anon_send(unit, halt_atom_v);
  run();
  BOOST_TEST(!ended(unit));
  carry_out();
  BOOST_TEST(code(asked_last) == errc::none);
  BOOST_TEST(ended(unit));
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(rollbacks(cause::abandoned) == 1U);
  BOOST_TEST((state_of<work_desk_state, work_desk_impl>(desk).units.empty()));
}

BOOST_AUTO_TEST_CASE(a_unit_that_is_killed_gives_back_and_answers) {
  const int open = ask(query());
  run();
  const int waiting = ask(query());
  run();
  caf::anon_send_exit(unit, caf::exit_reason::kill);
  run();
  BOOST_TEST(code(open) == errc::stopping);
  BOOST_TEST(code(waiting) == errc::stopping);
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(rollbacks(cause::abandoned) == 1U);
}

BOOST_AUTO_TEST_CASE(the_desk_takes_all_of_them_along) {
  ask(query());
  run();
  caf::anon_send_exit(desk, caf::exit_reason::user_shutdown);
  run();
  BOOST_TEST(ended(unit));
  BOOST_TEST(out_now() == 0);
  start(); // one that comes too late
  BOOST_TEST(ended(unit));
}

BOOST_AUTO_TEST_CASE(only_after_the_commit_somebody_is_woken) {
  caf::anon_send(unit, job_added{{.kind = "k", .queue = "later", .delay = 5s}, 0});
  ask(db::flush_work{});
  run();
  BOOST_TEST(sent() == "transaction_begin job_enqueue transaction_id");
  carry_out();
  add("now");
  BOOST_TEST(woken->wakes.empty());
  BOOST_TEST(dues->empty());
  const int committed = ask(db::commit_work{});
  run();
  BOOST_TEST(woken->wakes.empty());
  carry_out();
  const auto& value = std::get<db::work_reply>(answers.at(committed).outcome);
  BOOST_TEST(std::get<db::committed_work>(value).added.size() == 2U);
  BOOST_TEST(woken->wakes == std::vector<std::string>{"now"});
  BOOST_REQUIRE(dues->size() == 1U);
  BOOST_TEST((dues->front() == caf::timespan{5s}));
  BOOST_TEST(counters.jobs_enqueued == 2U);
}

BOOST_AUTO_TEST_CASE(a_run_ends_its_transaction_by_its_completion_only) {
  work_options options;
  options.of_run = true;
  start(options);
  ask(query());
  const int refused = ask(db::commit_work{});
  const int refused_too = ask(db::rollback_work{});
  const int meant = ask(db::commit_work{}, true);
  run();
  carry_out();
  BOOST_TEST(code(refused) == errc::conflict);
  BOOST_TEST(code(refused_too) == errc::conflict);
  BOOST_TEST(code(meant) == errc::none);
}

BOOST_AUTO_TEST_CASE(a_lost_commit_without_a_number_is_unknown) {
  ask(query());
  const int committed = ask(db::commit_work{});
  run();
  lose({errc::outcome_unknown, "cut"});
  BOOST_TEST(code(committed) == errc::outcome_unknown);
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(out->queries.empty());
}

BOOST_AUTO_TEST_CASE(a_lost_commit_with_a_number_is_looked_up_until_it_is_known) {
  for (const std::string fate : {"committed", "aborted"}) {
    add();
    ask(db::flush_work{});
    run();
    carry_out();
    const int committed = ask(db::commit_work{});
    run();
    lose({errc::outcome_unknown, "cut"});
    const int behind = ask(query());
    run();
    BOOST_TEST(!has(committed));
    BOOST_TEST(out_now() == 0);
    for (const std::string told : {"in progress", fate.c_str()}) {
      BOOST_REQUIRE(out->queries.size() == 1U);
      auto asked_status = out->queries.front();
      out->queries.pop_front();
      inside_pool(
          [asked_status, told]() mutable { asked_status.deliver(row_of(db::oid::text, told)); });
      advance(300ms, 50ms);
    }
    BOOST_TEST(code(committed) == (fate == "committed" ? errc::none : errc::unavailable));
    if (fate == "committed") {
      BOOST_TEST(woken->wakes == std::vector<std::string>{"default"});
      carry_out();
    } else {
      BOOST_TEST(woken->wakes.size() == 1U);
    }
    BOOST_TEST(code(behind) == (fate == "committed" ? errc::none : errc::aborted));
    ask(db::rollback_work{});
    run();
    if (!out->bursts.empty())
      carry_out();
  }
}

BOOST_AUTO_TEST_CASE(what_a_crash_forgot_is_unknown_at_once) {
  ask(query());
  run();
  carry_out();
  const int committed = ask(db::commit_work{});
  run();
  lose({errc::outcome_unknown, "cut"});
  BOOST_REQUIRE(out->queries.size() == 1U);
  inside_pool([this] { out->queries.front().deliver(row_of(db::oid::text, "not told")); });
  BOOST_TEST(code(committed) == errc::outcome_unknown);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_found_out_stays_unknown) {
  ask(query());
  run();
  carry_out();
  const int committed = ask(db::commit_work{});
  run();
  lose({errc::outcome_unknown, "cut"});
  int inquiries = 0;
  for (; !has(committed) && inquiries < 100; ++inquiries) {
    BOOST_REQUIRE(out->queries.size() == 1U);
    auto asked_status = out->queries.front();
    out->queries.pop_front();
    inside_pool([asked_status]() mutable {
      asked_status.deliver(make_error(errc::unavailable, "no connection"));
    });
    advance(300ms, 50ms);
  }
  BOOST_TEST(inquiries == 50); // 15 s of them
  BOOST_TEST(code(committed) == errc::outcome_unknown);
  ask(db::rollback_work{});
  const int after = ask(query());
  run();
  carry_out();
  BOOST_TEST(code(after) == errc::none);
}

BOOST_AUTO_TEST_CASE(a_pool_that_does_not_answer_leaves_a_lost_commit_unknown_in_time) {
  ask(query());
  run();
  carry_out();
  const int committed = ask(db::commit_work{});
  run();
  lose({errc::outcome_unknown, "cut"});
  advance(14s, 100ms);
  BOOST_TEST(!has(committed));
  BOOST_TEST(out->queries.size() == 1U);
  advance(1s, 100ms);
  BOOST_TEST(code(committed) == errc::outcome_unknown);
}

BOOST_AUTO_TEST_CASE(the_engines_own_statements_leave_no_taint_and_a_users_do) {
  ask(query());
  ask(db::commit_work{});
  run();
  carry_out();
  BOOST_TEST(!out->tainted);
  ask(db::run_query{db::query{db::dynamic_statement{"mine", "select 1"}}});
  ask(db::commit_work{});
  run();
  carry_out();
  BOOST_TEST(out->tainted);
}

BOOST_AUTO_TEST_SUITE_END()
