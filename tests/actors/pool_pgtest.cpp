// POOL and CONNECTION against a real server: many at once, a session killed, a database that is not
// there yet, a session that is frozen.
#include "tests/actors/pool_fixture.hpp"

#include <csignal>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

const db::statement nap{"nap", "select pg_sleep(60)"};
const db::statement twenty_ms{"twenty_ms", "select pg_sleep(0.02)"};

} // namespace

BOOST_FIXTURE_TEST_SUITE(pools, pooled)

BOOST_AUTO_TEST_CASE(many_callers_at_once_get_each_their_own_answer) {
  start(server_url(), 3);
  std::vector<std::future<outcome_of>> answers;
  for (std::int64_t i = 0; i < 3000; ++i) // more than the connections take at once
    answers.push_back(ask(with(i)));
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto answer = wait(answers[i]);
    BOOST_REQUIRE((code_of(answer) == errc::none));
    BOOST_REQUIRE(std::get<db::result>(answer).one().get<std::int64_t>(0)
                  == static_cast<std::int64_t>(i));
  }
  BOOST_TEST(counters.statements == 3000U);
  BOOST_TEST(counters.pool_waiting == 0U);
}

BOOST_AUTO_TEST_CASE(nobody_who_asks_while_sessions_are_killed_hears_that_the_engine_stops) {
  start(server_url(), 2);
  test_database other{test_database::content::empty};
  for (int round = 0; round < 20; ++round) {
    const int victim = backend();
    std::vector<std::future<outcome_of>> answers;
    for (std::int64_t i = 0; i < 100; ++i)
      answers.push_back(ask(with(i)));
    other.exec("select pg_terminate_backend(" + std::to_string(victim) + ")");
    for (std::int64_t i = 0; i < 100; ++i)
      answers.push_back(ask(with(i)));
    for (auto& answer : answers) {
      const auto code = code_of(wait(answer));
      BOOST_REQUIRE((code == errc::none || code == errc::outcome_unknown
                     || code == errc::unavailable)); // the server's last words
    }
  }
}

BOOST_AUTO_TEST_CASE(a_killed_session_answers_what_it_had_and_is_replaced) {
  start(server_url(), 1);
  const int victim = backend();
  auto caught = ask(db::query{nap});
  test_database other{test_database::content::empty};
  BOOST_REQUIRE(await_until([&] {
    return other.value("select state from pg_stat_activity where pid = " + std::to_string(victim))
           == "active";
  }));
  other.exec("select pg_terminate_backend(" + std::to_string(victim) + ")");
  const auto answer = wait(caught);
  BOOST_TEST((code_of(answer) == errc::outcome_unknown || code_of(answer) == errc::unavailable));
  // What meets the connection while it ends was not sent, so another one carries it out.
  const auto replacement = value_of<std::int32_t>(now(db::query{pid}));
  BOOST_TEST(replacement != victim);
  BOOST_TEST(counters.connections_lost == 1U);
  BOOST_TEST(counters.connections_open == 1U);
}

BOOST_AUTO_TEST_CASE(callers_wait_until_an_unreachable_database_is_there) {
  const auto name = "troupe_pool_" + std::to_string(::getpid());
  start(with_database(server_url(), name), 2);
  auto early = ask(with(7));
  BOOST_REQUIRE(await_until([&] { return counters.pool_waiting == 1U; }));
  test_database other{test_database::content::empty};
  other.exec("create database " + name);
  BOOST_TEST(code_of(wait(early)) == errc::none);
  caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
  one = nullptr;
  other.exec("drop database " + name + " with (force)");
}

BOOST_AUTO_TEST_CASE(a_frozen_session_is_given_up_and_replaced) {
  start(server_url(), 1, 2s);
  const int victim = backend();
  BOOST_REQUIRE(::kill(victim, SIGSTOP) == 0);
  auto caught = ask(with(1));
  const auto answer = wait(caught);
  BOOST_TEST(code_of(answer) == errc::outcome_unknown);
  BOOST_TEST(backend() != victim);
  BOOST_TEST(::kill(victim, SIGCONT) == 0);
}

BOOST_AUTO_TEST_CASE(a_long_row_of_slow_statements_is_not_taken_for_silence) {
  start(server_url(), 1, 3s); // silence is three seconds and twice that
  std::vector<std::future<outcome_of>> answers;
  for (int i = 0; i < 50 * 10; ++i)
    answers.push_back(ask(db::query{twenty_ms}));
  for (auto& answer : answers)
    BOOST_REQUIRE(code_of(wait(answer)) == errc::none);
  BOOST_TEST(counters.connections_lost == 0U);
}

BOOST_AUTO_TEST_CASE(each_connection_is_measured_in_its_slot_which_the_next_one_takes_over) {
  start(server_url(), 2);
  auto lent = borrow();
  const auto& statements = metrics.slots();
  BOOST_TEST((statements[0].lent != statements[1].lent));
  const auto& slot = statements[statements[0].lent ? 0 : 1];
  const auto first = std::get<db::result>(now_on(lent, db::query{pid})).one().get<std::int32_t>(0);
  BOOST_TEST(slot.backend_pid == first);
  BOOST_TEST(slot.statements == 1U);
  now_on(lent, db::query{pid}.bind("a parameter too many"));
  BOOST_TEST(slot.errors == 1U);
  lent.reset();
  test_database other{test_database::content::empty};
  other.exec("select pg_terminate_backend(" + std::to_string(first) + ")");
  BOOST_TEST(await_until([&] { return slot.holder != 0 && slot.backend_pid != first; }));
  BOOST_TEST(slot.statements == 2U);
  BOOST_TEST(!slot.lent);
}

BOOST_AUTO_TEST_CASE(a_read_that_fails_is_the_only_one_that_hears_of_it) {
  const db::statement divide{"divide", "select 840 / $1::int8", 0ms, true};
  const db::statement write{"write", "insert into written values ($1)"};
  test_database base{test_database::content::empty};
  base.exec("create table written (key bigint)");
  start(base.url(), 1);
  std::vector<std::future<outcome_of>> answers;
  for (std::int64_t i = 0; i < 600; ++i) { // some are asked while those before are asked again
    answers.push_back(ask(db::query{divide}.bind(i % 7)));
    if (i % 10 == 9) // in the middle of them: must not share their fate
      answers.push_back(ask(db::query{write}.bind(i)));
  }
  std::size_t next = 0;
  for (std::int64_t i = 0; i < 600; ++i) {
    const auto answer = wait(answers[next++]);
    if (i % 7 == 0)
      BOOST_TEST(code_of(answer) == errc::invalid_argument);
    else
      BOOST_TEST(value_of<std::int64_t>(answer) == 840 / (i % 7));
    if (i % 10 == 9)
      BOOST_TEST(code_of(wait(answers[next++])) == errc::none);
  }
  BOOST_TEST(base.value("select count(*) from written") == "60");
  BOOST_TEST(await_until([&] { return metrics.in_flight == 0U; }));
}

BOOST_AUTO_TEST_SUITE_END()
