// Loans over a real server: what a borrower leaves behind is gone before others are served.
#include "tests/actors/pool_fixture.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

const db::statement begin_it{"begin_it", "begin"};
const db::statement write_it{"write_it", "insert into kept values (1)"};
const db::statement fail_it{"fail_it", "select 1 / 0"};
const db::statement one_it{"one_it", "select 1::int8"};
const db::statement nap{"nap", "select pg_sleep(60)"};
const db::statement set_it{"set_it", "set work_mem = '7MB'"};
const db::statement become{"become", "set role pg_monitor"};
const db::statement temporary{"temporary", "create temp table mine (x int)"};
const db::statement lock_it{"lock_it", "select pg_advisory_lock(4711)"};
const db::statement listen_it{"listen_it", "listen mine"};
const db::statement cursor{"cursor", "declare c cursor with hold for select 1"};
const db::statement left_over{
    "left_over",
    "select (current_setting('work_mem') = '7MB')::int + (current_user <> session_user)::int"
    " + (to_regclass('pg_temp.mine') is not null)::int"
    " + (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())::int"
    " + (select count(*) from pg_listening_channels())::int"
    " + (select count(*) from pg_cursors where name = 'c')::int"};

struct lending : pooled {
  test_database database{test_database::content::empty};

  bool idle(int backend) {
    return database.value("select count(*) from pg_stat_activity where state = 'idle' and pid = "
                          + std::to_string(backend))
           == "1";
  }
  /// A borrower that begins a transaction, writes, and ends without another word.
  std::future<outcome_of> begin_and_leave() {
    auto promised = std::make_shared<std::promise<outcome_of>>();
    auto answer = promised->get_future();
    in_actor([promised, target = one](auto* self) {
      const auto refused = [promised](caf::error& why) { promised->set_value(std::move(why)); };
      self->request(target, caf::infinite, lend_atom_v)
          .then(
              [=](const loan_ptr& lent) {
                self->request(lent->connection(), caf::infinite,
                              std::make_shared<const db::query>(begin_it))
                    .then([](const db::result&) {}, refused);
                self->request(lent->connection(), caf::infinite,
                              std::make_shared<const db::query>(write_it))
                    .then([promised, lent](const db::result& rows) { promised->set_value(rows); },
                          refused);
              },
              refused);
    });
    return answer;
  }
  int backend_of(const loan_ptr& lent) {
    return value_of<std::int32_t>(now_on(lent, db::query{pid}));
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(loans, lending)

BOOST_AUTO_TEST_CASE(an_open_transaction_is_rolled_back_and_the_connection_serves_again) {
  database.exec("create table kept (x int)");
  start(database.url(), 2);
  auto lent = borrow();
  const int backend = backend_of(lent);
  BOOST_TEST(code_of(now_on(lent, db::query{begin_it})) == errc::none);
  BOOST_TEST(code_of(now_on(lent, db::query{write_it})) == errc::none);
  lent.reset();
  BOOST_REQUIRE(await_until([&] { return metrics.lent == 0U; }));
  BOOST_TEST(idle(backend));
  BOOST_TEST(database.value("select count(*) from kept") == "0");
  lent = borrow();
  BOOST_TEST(code_of(now_on(lent, db::query{write_it})) == errc::none);
  lent.reset();
  BOOST_REQUIRE(await_until([&] { return database.value("select count(*) from kept") == "1"; }));
  BOOST_TEST(counters.connections_lost == 0U);
}

BOOST_AUTO_TEST_CASE(an_aborted_transaction_is_rolled_back_too) {
  start(database.url(), 2);
  auto lent = borrow();
  const int backend = backend_of(lent);
  now_on(lent, db::query{begin_it});
  BOOST_TEST(code_of(now_on(lent, db::query{fail_it})) == errc::invalid_argument);
  lent.reset();
  BOOST_REQUIRE(await_until([&] { return metrics.lent == 0U; }));
  BOOST_TEST(idle(backend));
  BOOST_TEST(counters.connections_lost == 0U);
}

BOOST_AUTO_TEST_CASE(nothing_of_a_tainted_session_is_left) {
  start(database.url(), 2);
  auto lent = borrow();
  const int backend = backend_of(lent);
  lent->taint();
  for (const auto* mine : {&set_it, &temporary, &lock_it, &listen_it, &cursor, &become})
    BOOST_TEST(code_of(now_on(lent, db::query{*mine})) == errc::none);
  BOOST_TEST(value_of<std::int32_t>(now_on(lent, db::query{left_over})) == 6);
  lent.reset();
  BOOST_REQUIRE(await_until([&] { return metrics.lent == 0U; }));
  for (lent = borrow(); backend_of(lent) != backend; lent = borrow()) {
  }
  BOOST_TEST(value_of<std::int32_t>(now_on(lent, db::query{left_over})) == 0);
}

BOOST_AUTO_TEST_CASE(statements_in_flight_at_the_end_are_answered_once) {
  start(database.url(), 2);
  auto lent = borrow();
  std::vector<std::future<outcome_of>> answers;
  for (int i = 0; i < 200; ++i)
    answers.push_back(ask_of(lent->connection(), db::query{one_it}));
  const int last = backend_of(lent); // all were taken by now
  lent.reset();
  for (auto& each : answers)
    BOOST_TEST(code_of(wait(each)) == errc::none);
  BOOST_REQUIRE(await_until([&] { return metrics.lent == 0U; }));
  BOOST_TEST(idle(last));
  BOOST_TEST(metrics.in_flight == 0U);
}

BOOST_AUTO_TEST_CASE(a_statement_that_goes_on_too_long_costs_the_connection) {
  auto options = options_for(database.url(), 2);
  options.clean_up_limit = 200ms;
  start(options);
  auto lent = borrow();
  const int backend = backend_of(lent);
  auto sleeping = ask_of(lent->connection(), db::query{nap});
  BOOST_REQUIRE(await_until([&] { return metrics.in_flight == 1U; }));
  lent.reset();
  const auto answer = wait(sleeping);
  BOOST_TEST(code_of(answer) == errc::outcome_unknown);
  BOOST_TEST(detail_of(answer).find("too long to undo") != std::string::npos);
  BOOST_REQUIRE(await_until([&] { return metrics.reconnects == 1U; }));
  lent = borrow();
  BOOST_TEST(backend_of(lent) != backend);
}

BOOST_AUTO_TEST_CASE(a_killed_loan_tells_its_borrower_why_until_he_gives_it_back) {
  start(database.url(), 2);
  auto lent = borrow();
  const int backend = backend_of(lent);
  database.exec("select pg_terminate_backend(" + std::to_string(backend) + ")");
  BOOST_REQUIRE(await_until([&] { return metrics.reconnects == 1U; }));
  for (int i = 0; i < 3; ++i) {
    const auto answer = now_on(lent, db::query{one_it});
    BOOST_TEST(code_of(answer) == errc::unavailable);
    BOOST_TEST(detail_of(answer).find("57P01") != std::string::npos);
  }
  auto second = borrow();
  BOOST_TEST(backend_of(second) != backend);
  lent.reset();
  second.reset();
  BOOST_REQUIRE(await_until([&] { return metrics.lent == 0U; }));
  BOOST_TEST(metrics.connections == 2U);
}

BOOST_AUTO_TEST_CASE(the_server_ends_a_transaction_in_which_nothing_happens) {
  auto options = options_for(database.url(), 2);
  options.connection.idle_in_transaction_timeout = 100ms;
  start(options);
  const auto lent = borrow();
  now_on(lent, db::query{begin_it});
  BOOST_REQUIRE(await_until([&] { return metrics.reconnects == 1U; }));
  const auto answer = now_on(lent, db::query{one_it});
  BOOST_TEST(code_of(answer) == errc::unavailable);
  BOOST_TEST(detail_of(answer).find("25P03") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_loan_without_a_statement_is_ended) {
  auto options = options_for(database.url(), 2);
  options.max_loan = 500ms;
  start(options);
  const auto lent = borrow();
  now_on(lent, db::query{pid}); // and if that comes too late, it is the same
  BOOST_REQUIRE(await_until([&] { return metrics.reconnects == 1U; }));
  const auto answer = now_on(lent, db::query{one_it});
  BOOST_TEST(code_of(answer) == errc::timed_out);
  BOOST_TEST(detail_of(answer).find("not used for 500 ms") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(borrowers_and_single_statements_live_side_by_side) {
  database.exec("create table kept (x int)");
  start(database.url(), 4);
  std::vector<std::future<outcome_of>> borrowers;
  std::vector<std::future<outcome_of>> single;
  for (int i = 0; i < 200; ++i) {
    borrowers.push_back(begin_and_leave());
    single.push_back(ask(with(i)));
  }
  for (auto& each : single)
    BOOST_TEST(code_of(wait(each)) == errc::none);
  for (auto& each : borrowers)
    BOOST_TEST(code_of(wait(each)) == errc::none);
  BOOST_REQUIRE(await_until([&] { return metrics.lent == 0U; }));
  BOOST_TEST(database.value("select count(*) from kept") == "0");
  BOOST_TEST(counters.connections_lost == 0U);
  BOOST_TEST(metrics.connections <= 4U);
}

BOOST_AUTO_TEST_CASE(a_borrower_that_asks_without_listening_does_not_harm_the_connection) {
  start(database.url(), 2);
  sys.spawn([target = one](caf::event_based_actor* self) {
    self->set_default_handler(
        [](caf::scheduled_actor*, caf::message_view&) -> caf::result<caf::message> {
          return caf::sec::unexpected_message; // which goes to CONNECTION
        });
    self->request(target, caf::infinite, lend_atom_v).then([self](const loan_ptr& lent) {
      self->send(caf::actor_cast<caf::actor>(lent->connection()),
                 std::make_shared<const db::query>(begin_it));
      self->request(lent->connection(), caf::infinite, std::make_shared<const db::query>(one_it))
          .then([self, lent](const db::result&) { self->quit(); });
    });
  });
  BOOST_REQUIRE(await_until([&] { return counters.statements >= 2U; }));
  BOOST_REQUIRE(await_until([&] { return metrics.lent == 0U; }));
  BOOST_TEST(metrics.reconnects == 0U);
  BOOST_TEST(metrics.connections == 2U);
}

BOOST_AUTO_TEST_CASE(a_missing_database_is_named_to_who_waits) {
  auto options = options_for(with_database(server_url(), "no_such_database"), 2);
  options.acquire_timeout = 300ms;
  start(options);
  // Until a connection has been tried nobody knows.
  outcome_of answer;
  BOOST_TEST(await_until([&] {
    answer = now(db::query{one_it});
    return detail_of(answer).find("3D000") != std::string::npos;
  }));
  BOOST_TEST(code_of(answer) == errc::unavailable);
  BOOST_TEST(detail_of(answer).find("there is no such database") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
