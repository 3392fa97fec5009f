// What happens to acknowledged writes, to callers and to the pool while PostgreSQL and the network
// fail: a ledger of what writers were told is compared with the table afterwards.
#include "tests/actors/trouble.hpp"

using namespace troupe;
using namespace troupe::tests;

BOOST_FIXTURE_TEST_SUITE(faults, trouble)

BOOST_AUTO_TEST_CASE(every_session_terminated_five_times_a_second_for_thirty_seconds) {
  begin(server.url());
  const auto end = ledger::clock::now() + 30s;
  const auto goes_on = [&] { // for longer where few were lost by then: on a slow machine
    const auto now = ledger::clock::now();
    return now < end || (counters.connections_lost < 100U && now < end + 2 * patience);
  };
  while (goes_on()) {
    server.value("select count(pg_terminate_backend(pid)) from pg_stat_activity where "
                 "application_name = 'troupe'");
    let_pass(200ms);
  }
  expect_recovery();
  BOOST_TEST(counters.connections_lost >= 100U);
}

BOOST_AUTO_TEST_CASE(ten_immediate_restarts_under_load) {
  begin(server.url());
  for (int i = 0; i < 10; ++i) {
    mark();
    crash();
    BOOST_REQUIRE(await_until([&] { return everybody_wrote(1); }));
  }
  expect_recovery();
}

BOOST_AUTO_TEST_CASE(a_server_frozen_for_five_seconds) {
  begin(server.url());
  server.freeze();
  let_pass(5s);
  server.thaw();
  expect_recovery();
}

BOOST_AUTO_TEST_CASE(a_network_that_swallows_everything_without_closing) {
  begin(proxy.url("postgres"));
  // One that is still being made is never up, and so not lost.
  BOOST_REQUIRE(await_until([&] { return counters.connections_open == pool_size; }));
  proxy.swallow(true);
  // Noticed without any help from the network, within the time of two statements.
  BOOST_REQUIRE(await_until([&] { return counters.connections_lost >= pool_size; }, 40s));
  proxy.swallow(false);
  expect_recovery();
}

BOOST_AUTO_TEST_CASE(a_network_that_resets_every_connection_again_and_again) {
  begin(proxy.url("postgres"));
  for (int i = 0; i < 20; ++i) {
    mark();
    proxy.cut();
    BOOST_REQUIRE(await_until([&] { return everybody_wrote(1); }));
  }
  expect_recovery();
}

BOOST_AUTO_TEST_CASE(a_statement_whose_answer_is_lost_is_unknown_and_not_refused) {
  begin(proxy.url("postgres"));
  for (int i = 1; i <= 20; ++i) {
    proxy.lose_answer_to(insert_key.name);
    BOOST_REQUIRE(await_until([&] { return proxy.lost_answers() >= i; }));
  }
  expect_recovery();
  BOOST_TEST(singles.book->unknown() >= 20U);
}

BOOST_AUTO_TEST_CASE(a_server_without_room_for_more_connections) {
  server.exec("create role crowded login connection limit 4");
  server.exec("grant all on ledger, steps, one_burst to crowded");
  begin("postgresql://crowded@/postgres?host=" + server.directory() + "&port=5432");
  server.exec("alter role crowded connection limit 0");
  server.value("select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = "
               "'crowded'");
  BOOST_REQUIRE(await_until([&] { return counters.pool_refused >= 1U; }));
  server.exec("alter role crowded connection limit 4");
  expect_recovery();
}

BOOST_AUTO_TEST_SUITE_END()
