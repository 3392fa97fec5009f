// The unit of work over a model of PostgreSQL's transactions: what each call sends, what errors
// mean, and, with random calls, that what is committed is what its caller was told.
#include "tests/db/unit_of_work_desk.hpp"

#include <random>

using namespace troupe;
using namespace troupe::db;
using troupe::tests::bad;
using troupe::tests::desk;
using troupe::tests::good;
using troupe::tests::server;

namespace {

work_request good_query() {
  return run_query{query{good}};
}
work_request bad_query() {
  return run_query{query{bad}};
}
template<class T>
T reply(const std::variant<failure, work_reply>& outcome) {
  if (const auto* why = std::get_if<failure>(&outcome))
    BOOST_FAIL("refused: " << to_string(why->code) << " " << why->detail);
  return std::get<T>(std::get<work_reply>(outcome));
}
bool ok(errc code) {
  return code == errc::none;
}
using phase = unit_of_work::phase;

} // namespace

BOOST_FIXTURE_TEST_SUITE(unit_of_work_alone, desk)

BOOST_AUTO_TEST_CASE(marks_reach_the_database_only_at_a_flush_or_commit) {
  add();
  work.remove(job_id{7}, known);
  BOOST_TEST(work.marks() == 2U);
  BOOST_TEST((work.at() == phase::idle));
  BOOST_TEST(ok(code(good_query())));
  BOOST_TEST(sent() == "transaction_begin good");
  const auto flushed = reply<flushed_work>(now(flush_work{}));
  BOOST_TEST(flushed.added.size() == 1U);
  BOOST_TEST(flushed.removed == 1U);
  BOOST_TEST(sent() == "job_enqueue job_delete");
  BOOST_TEST(reply<flushed_work>(now(flush_work{})).added.empty());
  BOOST_TEST(sent().empty());
  add();
  const auto committed = reply<committed_work>(now(commit_work{}));
  BOOST_TEST(committed.added.size() == 2U);
  BOOST_TEST(sent() == "job_enqueue transaction_commit");
  BOOST_TEST((work.at() == phase::idle));
  BOOST_TEST(!work.holds_connection());
}

BOOST_AUTO_TEST_CASE(a_commit_of_nothing_sends_nothing) {
  BOOST_TEST(ok(code(commit_work{})));
  BOOST_TEST(ok(code(rollback_work{})));
  BOOST_TEST(sent().empty());
}

BOOST_AUTO_TEST_CASE(a_whole_transaction_is_planned_as_one_burst) {
  const auto begun = ask(begin_work{});
  add();
  ask(flush_work{});
  ask(set_savepoint{"a"});
  ask(release_savepoint{"a"});
  const auto committed = ask(commit_work{});
  BOOST_TEST(wire.size() == 5U);
  run();
  BOOST_TEST(ok(code_of(begun)));
  BOOST_TEST(ok(code_of(committed)));
  BOOST_TEST(sent()
             == "transaction_begin job_enqueue savepoint_set savepoint_release transaction_commit");
}

BOOST_AUTO_TEST_CASE(a_transaction_begins_as_it_was_asked_to) {
  BOOST_TEST(ok(code(begin_work{{isolation::serializable, true}})));
  BOOST_TEST(sent() == "transaction_begin_serializable transaction_read_only");
  BOOST_TEST(code(begin_work{}) == errc::conflict);
  BOOST_TEST(ok(code(rollback_work{})));
  BOOST_TEST(ok(code(begin_work{{isolation::read_committed, false}})));
  BOOST_TEST(ok(code(rollback_work{})));
  BOOST_TEST(ok(code(begin_work{{isolation::repeatable_read, false}})));
  BOOST_TEST(sent()
             == "transaction_rollback transaction_begin_read_committed transaction_rollback "
                "transaction_begin_repeatable_read");
}

BOOST_AUTO_TEST_CASE(an_error_inside_a_savepoint_costs_only_what_is_inside) {
  add("before");
  BOOST_TEST(ok(code(set_savepoint{"part"})));
  add("inside");
  BOOST_TEST(ok(code(flush_work{}))); // carries both: the one from before waits again afterwards
  BOOST_TEST(code(bad_query()) == errc::database);
  BOOST_TEST((work.at() == phase::active));
  BOOST_TEST(work.marks() == 1U);
  BOOST_TEST(work.depth() == 1);
  BOOST_TEST(ok(code(good_query())));
  BOOST_TEST(ok(code(release_savepoint{"part"})));
  const auto receipt = reply<committed_work>(now(commit_work{}));
  BOOST_REQUIRE(receipt.added.size() == 1U);
  BOOST_TEST(there.committed == std::vector<std::int64_t>{receipt.added[0].value});
}

BOOST_AUTO_TEST_CASE(an_error_outside_aborts_and_every_call_says_so_until_the_rollback) {
  BOOST_TEST(ok(code(good_query())));
  BOOST_TEST(code(bad_query()) == errc::database);
  BOOST_TEST((work.at() == phase::aborted));
  BOOST_TEST(!work.holds_connection());
  for (const auto& request : std::vector<work_request>{
           good_query(), flush_work{}, commit_work{}, set_savepoint{"a"}, release_savepoint{"a"},
           rollback_to_savepoint{"a"}, refresh_job{job_id{1}}, begin_work{}}) {
    const auto outcome = now(request);
    const auto* why = std::get_if<failure>(&outcome);
    BOOST_REQUIRE(why != nullptr);
    BOOST_TEST(why->code == errc::aborted);
    BOOST_TEST(why->detail.find("22012") != std::string::npos);
  }
  add();
  BOOST_TEST(work.marks() == 0U);
  BOOST_TEST(ok(code(rollback_work{})));
  BOOST_TEST(ok(code(good_query())));
}

BOOST_AUTO_TEST_CASE(what_was_sent_behind_a_failed_call_is_not_carried_out) {
  for (const bool grouped : {true, false}) {
    desk one;
    one.there.grouped = grouped;
    one.ask(set_savepoint{"part"});
    const auto failed = one.ask(bad_query());
    one.add();
    const auto flushed = one.ask(flush_work{});
    const auto released = one.ask(release_savepoint{"part"});
    const auto committed = one.ask(commit_work{});
    one.run();
    BOOST_TEST(one.code_of(failed) == errc::database);
    for (const auto call : {flushed, released, committed})
      BOOST_TEST(one.code_of(call) == errc::aborted);
    BOOST_TEST(one.there.committed.empty());
    // Sync by sync, the server took the commit for a rollback; as a group, it never saw it.
    BOOST_TEST((one.work.at() == (grouped ? phase::active : phase::aborted)));
    BOOST_TEST(one.work.depth() == (grouped ? 1 : 0));
  }
}

BOOST_AUTO_TEST_CASE(what_was_asked_before_a_failure_was_heard_of_is_not_carried_out_after_it) {
  BOOST_TEST(ok(code(set_savepoint{"part"})));
  const auto unaware = known;
  BOOST_TEST(code(bad_query()) == errc::database);
  work.add({.kind = "k"}, unaware);
  BOOST_TEST(work.marks() == 0U);
  const auto late = work.plan(commit_work{}, unaware);
  run();
  BOOST_TEST(code_of(late.call) == errc::aborted);
  BOOST_TEST(there.open);
  BOOST_TEST(ok(code(commit_work{}))); // this one knows
}

BOOST_AUTO_TEST_CASE(a_rollback_sent_behind_a_failure_answers_it) {
  const auto unaware = known;
  ask(good_query());
  ask(bad_query());
  ask(rollback_work{});
  run();
  work.add({.kind = "k"}, unaware);
  const auto late = work.plan(commit_work{}, unaware);
  wire.assign(late.statements.begin(), late.statements.end());
  run();
  BOOST_TEST(ok(code_of(late.call)));
  BOOST_TEST(there.committed.size() == 1U);
}

BOOST_AUTO_TEST_CASE(savepoints_nest_to_any_depth_under_any_name) {
  for (int i = 0; i < 5000; ++i)
    BOOST_REQUIRE(ok(code(set_savepoint{i % 2 == 0 ? "it's; drop table" : "b"})));
  add();
  BOOST_TEST(ok(code(flush_work{})));
  sent();
  BOOST_TEST(ok(code(rollback_to_savepoint{"it's; drop table"})));
  BOOST_TEST(sent() == "savepoint_rollback savepoint_release savepoint_rollback");
  BOOST_TEST(work.depth() == 4999);
  BOOST_TEST(ok(code(release_savepoint{"b"})));
  BOOST_TEST(sent() == "savepoint_release savepoint_release");
  BOOST_TEST(code(release_savepoint{"c"}) == errc::not_found);
  BOOST_TEST(code(rollback_to_savepoint{"c"}) == errc::not_found);
  BOOST_TEST((work.at() == phase::active)); // a name that is not there aborts nothing
  BOOST_TEST(ok(code(commit_work{})));
  BOOST_TEST(there.committed.empty());
}

BOOST_AUTO_TEST_CASE(a_commit_that_the_server_answers_with_rollback_is_a_failure) {
  BOOST_TEST(ok(code(good_query())));
  there.failed = true; // something we have not seen
  BOOST_TEST(code(commit_work{}) == errc::aborted);
  BOOST_TEST((work.at() == phase::aborted));
}

BOOST_AUTO_TEST_CASE(a_commit_whose_answer_is_lost_is_unknown_until_the_rollback) {
  const auto asked = ask(good_query());
  const auto committed = ask(commit_work{});
  for (std::size_t i = 0; i < 3; ++i) {
    BOOST_TEST(!work.next()); // nobody hears anything before it is known what the commit met
    work.take(failure{errc::outcome_unknown, "cut"});
  }
  collect();
  BOOST_TEST(code_of(asked) == errc::outcome_unknown);
  BOOST_TEST(code_of(committed) == errc::outcome_unknown);
  BOOST_TEST((work.at() == phase::unknown));
  BOOST_TEST(!work.holds_connection());
  wire.clear();
  BOOST_TEST(code(good_query()) == errc::outcome_unknown);
  BOOST_TEST(ok(code(rollback_work{})));
  BOOST_TEST((work.at() == phase::idle));
}

BOOST_AUTO_TEST_CASE(a_connection_lost_before_the_commit_was_sent_is_a_definite_rollback) {
  ask(set_savepoint{"part"});
  run();
  const auto asked = ask(good_query());
  work.take(failure{errc::outcome_unknown, "cut"});
  wire.clear();
  collect();
  BOOST_TEST(code_of(asked) == errc::unavailable);
  BOOST_TEST((work.at() == phase::aborted)); // savepoints went with the connection
  BOOST_TEST(ok(code(rollback_work{})));
  // And with a commit of which not a byte was sent.
  there = server{};
  BOOST_TEST(ok(code(good_query())));
  const auto commit = ask(commit_work{});
  work.take(failure{errc::unavailable, "cut"});
  wire.clear();
  collect();
  BOOST_TEST(code_of(commit) == errc::unavailable);
  BOOST_TEST((work.at() == phase::aborted));
}

BOOST_AUTO_TEST_CASE(an_error_before_the_lost_commit_makes_its_outcome_definite) {
  ask(good_query());
  run();
  const auto failed = ask(bad_query());
  const auto commit = ask(commit_work{});
  work.take(failure{errc::database, "22012"});
  work.take(failure{errc::outcome_unknown, "cut"});
  wire.clear();
  collect();
  BOOST_TEST(code_of(failed) == errc::database);
  BOOST_TEST(code_of(commit) == errc::aborted);
  BOOST_TEST((work.at() == phase::aborted));
}

BOOST_AUTO_TEST_CASE(a_mark_that_cannot_be_stored_fails_the_flush_and_not_the_mark) {
  work.add({.kind = "not a name"}, known);
  BOOST_TEST(code(commit_work{}) == errc::invalid_argument);
  BOOST_TEST((work.at() == phase::aborted));
  BOOST_TEST(sent().empty());
  BOOST_TEST(ok(code(rollback_work{})));
  BOOST_TEST(ok(code(set_savepoint{"part"})));
  work.add({.kind = "not a name"}, known);
  BOOST_TEST(code(flush_work{}) == errc::invalid_argument);
  BOOST_TEST((work.at() == phase::active));
  BOOST_TEST(ok(code(commit_work{})));
}

BOOST_AUTO_TEST_CASE(marks_are_bounded_until_they_are_flushed) {
  for (std::size_t i = 0; i <= unit_of_work::max_marks; ++i)
    work.remove(job_id{1}, known);
  BOOST_TEST(code(flush_work{}) == errc::overloaded);
  BOOST_TEST(ok(code(rollback_work{})));
  for (int i = 0; i < 3; ++i) {
    for (std::size_t n = 0; n < 60'000; ++n)
      add();
    BOOST_TEST(reply<flushed_work>(now(flush_work{})).added.size() == 60'000U);
  }
  BOOST_TEST(reply<committed_work>(now(commit_work{})).added.size() == 180'000U);
}

BOOST_AUTO_TEST_CASE(the_receipt_tells_whom_to_wake) {
  add();
  work.add({.kind = "k", .queue = "later", .delay = std::chrono::seconds{5}}, known);
  work.add({.kind = "k", .queue = "soon", .delay = std::chrono::seconds{3}}, known);
  const auto receipt = reply<committed_work>(now(commit_work{}));
  BOOST_TEST(receipt.ready_queues == std::vector<std::string>{"default"});
  BOOST_REQUIRE(receipt.soonest.has_value());
  BOOST_TEST(receipt.soonest->count() == 3000);
}

BOOST_AUTO_TEST_CASE(the_number_is_asked_for_until_it_is_known_and_never_with_a_commit) {
  ask(good_query());
  auto own = work.seal();
  BOOST_REQUIRE(own.size() == 1U);
  wire.push_back(own[0]);
  run();
  BOOST_TEST(work.transaction() == "777");
  ask(good_query());
  BOOST_TEST(work.seal().empty());
  ask(commit_work{});
  run();
  ask(good_query());
  ask(commit_work{});
  BOOST_TEST(work.seal().empty());
  run();
}

BOOST_AUTO_TEST_CASE(transactions_are_not_steered_by_sql) {
  for (const auto* text :
       {"commit", " BEGIN", "/* a /* b */ */ Rollback to x", "-- c\nend", ";savepoint s",
        "START transaction", "abort", "release s", "prepare  transaction 'x'"})
    BOOST_TEST(is_transaction_control(text), text);
  for (const auto* text : {"select 'commit'", "beginning", "prepare p as select 1", "", "/* commit",
                           "commitment", "with x as (select 1) select"})
    BOOST_TEST(!is_transaction_control(text), text);
  static const statement sneaky{"sneaky", "/* */ commit"};
  BOOST_TEST(code(run_query{query{sneaky}}) == errc::invalid_argument);
  BOOST_TEST((work.at() == phase::idle));
}

BOOST_AUTO_TEST_CASE(an_abort_from_outside_answers_all_that_is_on_its_way) {
  const auto asked = ask(good_query());
  work.abort({errc::timed_out, "idle for too long"});
  collect();
  BOOST_TEST(code_of(asked) == errc::aborted);
  BOOST_TEST(code(commit_work{}) == errc::aborted);
  wire.clear();
  BOOST_TEST(ok(code(rollback_work{})));
}

BOOST_AUTO_TEST_CASE(with_random_calls_what_is_committed_is_what_was_told) {
  std::mt19937 random{20231105};
  std::size_t commits = 0;
  for (int round = 0; round < 3000; ++round) {
    desk one;
    one.there.grouped = round % 2 == 0;
    std::vector<std::int64_t> told;
    std::vector<std::uint64_t> calls;
    std::map<std::uint64_t, bool> commit_calls;
    const int length = 1 + static_cast<int>(random() % 30);
    for (int i = 0; i < length; ++i) {
      const std::string name = random() % 2 == 0 ? "a" : "b";
      switch (random() % 13) {
      case 0:
      case 1:
      case 2:
        if (one.work.may_mark())
          one.add();
        continue;
      case 3:
        calls.push_back(one.ask(flush_work{}));
        break;
      case 4:
        calls.push_back(one.ask(commit_work{}));
        commit_calls[calls.back()] = true;
        break;
      case 5:
        calls.push_back(one.ask(rollback_work{}));
        break;
      case 6:
      case 7:
        calls.push_back(one.ask(set_savepoint{name}));
        break;
      case 8:
        calls.push_back(one.ask(release_savepoint{name}));
        break;
      case 9:
        calls.push_back(one.ask(rollback_to_savepoint{name}));
        break;
      case 10:
        calls.push_back(one.ask(bad_query()));
        break;
      case 11:
        calls.push_back(one.ask(copy_rows{query{random() % 3 == 0 ? bad : good}}));
        break;
      default:
        calls.push_back(one.ask(good_query()));
      }
      if (random() % 3 == 0)
        one.run();
    }
    one.run();
    for (const auto call : calls) {
      BOOST_REQUIRE(one.answers.count(call) == 1);
      const auto* value = std::get_if<work_reply>(&one.answers.at(call).outcome);
      if (value == nullptr || !commit_calls.count(call))
        continue;
      ++commits;
      for (const auto id : std::get<committed_work>(*value).added)
        told.push_back(id.value);
    }
    BOOST_REQUIRE(one.there.committed == told);
    BOOST_REQUIRE(one.there.open == (one.work.at() == phase::active));
    BOOST_REQUIRE(one.answers.size() == calls.size());
    if (one.there.open)
      BOOST_REQUIRE(one.there.levels.size() == static_cast<std::size_t>(one.work.depth()) + 1);
  }
  BOOST_TEST(commits > 1000U);
}

BOOST_AUTO_TEST_SUITE_END()
