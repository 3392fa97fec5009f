// Whole transactions run again when the database undoes them for the sake of others, and only then.
#include "tests/launcher/session_fixture.hpp"

#include <atomic>
#include <barrier>
#include <thread>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

/// Moves 10 from one account to the other; all first tries meet in the middle.
void move_ten(session& work, std::int64_t from, std::int64_t to, std::barrier<>& middle,
              bool first_try) {
  work.query("set local deadlock_timeout = '20ms'").ignore();
  work.query("update account set amount = amount - 10 where id = $1", from).get();
  if (first_try)
    middle.arrive_and_wait();
  work.query("update account set amount = amount + 10 where id = $1", to).get();
}

pending<int> counted(session& work, std::atomic<int>& tries, errc fails_with, int times) {
  co_await work.query("insert into note (text) values ('x')");
  const int now = ++tries;
  if (now <= times)
    throw engine_error(fails_with, "made up");
  co_return now;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(transactions, session_fixture)

BOOST_AUTO_TEST_CASE(a_deadlock_is_undone_and_run_again) {
  start();
  std::barrier middle{2};
  const auto transfer = [&](std::int64_t from, std::int64_t to) {
    int tries = 0;
    node->run_transaction([&](session& work) { move_ten(work, from, to, middle, ++tries == 1); });
  };
  std::thread other{[&] { transfer(2, 1); }};
  transfer(1, 2);
  other.join();
  BOOST_TEST(database.value("select string_agg(amount::text, ',' order by id) from account")
             == "100,100");
  BOOST_TEST(node->database().transaction_retries >= 1U);
  BOOST_TEST(rollbacks(database_metrics::rollback_cause::conflict) >= 1U);
}

BOOST_AUTO_TEST_CASE(a_serialization_failure_is_undone_and_run_again) {
  start();
  std::barrier middle{2};
  const auto increment = [&] {
    int tries = 0;
    return node->run_transaction([&](session& work) {
      work.begin({db::isolation::serializable, false}).get();
      const auto amount =
          work.query("select amount from account where id = 1").get().one<std::int64_t>();
      if (++tries == 1)
        middle.arrive_and_wait();
      work.query("update account set amount = $1 where id = 1", amount + 1).get();
      return tries;
    });
  };
  int others = 0;
  std::thread other{[&] { others = increment(); }};
  const int mine = increment();
  other.join();
  BOOST_TEST(database.value("select amount from account where id = 1") == "102");
  BOOST_TEST(mine + others >= 3);
}

BOOST_AUTO_TEST_CASE(a_body_may_be_a_coroutine) {
  start();
  std::atomic<int> tries{0};
  const int result =
      node->run_transaction([&](session& work) { return counted(work, tries, errc::retry, 3); })
          .get();
  BOOST_TEST(result == 4);
  BOOST_TEST(count("note") == "1");
  BOOST_TEST(node->database().transaction_retries == 3U);
}

BOOST_AUTO_TEST_CASE(tries_are_bounded_and_other_errors_are_not_tried_again) {
  start();
  std::atomic<int> tries{0};
  BOOST_TEST(code_of(node->run_transaction(
                 [&](session& work) { return counted(work, tries, errc::retry, 100); }))
             == errc::retry);
  BOOST_TEST(tries == 5);
  for (const auto code : {errc::outcome_unknown, errc::unavailable, errc::database}) {
    tries = 0;
    BOOST_TEST(code_of(node->run_transaction(
                   [&](session& work) { return counted(work, tries, code, 100); }))
               == code);
    BOOST_TEST(tries == 1);
  }
  BOOST_TEST(count("note") == "0");
}

BOOST_AUTO_TEST_CASE(what_has_committed_something_is_not_tried_again) {
  start();
  int tries = 0;
  BOOST_TEST(code_of([&] {
               node->run_transaction([&](session& work) {
                 ++tries;
                 work.query("insert into note (text) values ('x')").ignore();
                 static_cast<void>(work.commit().get());
                 throw engine_error(errc::retry, "made up");
               });
             })
             == errc::retry);
  BOOST_TEST(tries == 1);
  BOOST_TEST(count("note") == "1");
}

BOOST_AUTO_TEST_CASE(a_conflict_of_a_call_that_nobody_awaited_is_found_by_the_commit) {
  start();
  int tries = 0;
  node->run_transaction([&](session& work) {
    work.query("insert into note (text) values ('x')").ignore();
    if (++tries == 1)
      work.query("do $$ begin raise 'made up' using errcode = '40001'; end $$").ignore();
  });
  BOOST_TEST(tries == 2);
  BOOST_TEST(count("note") == "1");
}

BOOST_AUTO_TEST_SUITE_END()
