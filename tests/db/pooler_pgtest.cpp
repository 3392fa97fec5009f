// Behind PgBouncer in transaction mode: no prepared statements, no settings of a session, and two
// sessions for everybody. Starts a PgBouncer of its own in front of the test server.
#include "db/admin.hpp"
#include "db/blocking.hpp"
#include "db/migrate.hpp"
#include "tests/support/await.hpp"
#include "tests/support/database.hpp"
#include "tests/support/drive.hpp"
#include "tests/support/pgbouncer.hpp"

#include <boost/test/unit_test.hpp>

#include <set>
#include <thread>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

const statement begin{"begin", "begin"};
const statement begin_serializable{"begin_serializable",
                                   "-- first\nbegin isolation level serializable"};
const statement commit{"commit", "commit"};
const statement rollback{"rollback", "rollback"};
const statement insert{"insert", "insert into t values ($1::int8)"};
const statement divide{"divide", "select 1000 / $1::int8"};
const statement nap{"nap", "select pg_sleep(60)"};
const statement show{"show", "select current_setting('statement_timeout') || ' ' || "
                             "current_setting('lock_timeout') || ' ' || "
                             "current_setting('transaction_isolation')"};

query with(const statement& what, std::int64_t value) {
  query q{what};
  q.bind(value);
  return q;
}

const db_failure* failed(const finished& answer) {
  return std::get_if<db_failure>(&answer.outcome);
}

struct pooled {
  explicit pooled(int sessions = 1) : bouncer(sessions) {
    database.exec("create table t (a int8 primary key)");
    options.url = bouncer.url(database.name());
    options.pooler = true;
    options.statement_timeout = 4321ms;
  }
  test_database database{test_database::content::empty};
  pgbouncer bouncer;
  connect_options options;
};

std::string settings(connection& on) {
  return rows(on, query{show}).one().get<std::string>(0);
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(behind_a_pooler, pooled)

BOOST_AUTO_TEST_CASE(many_connections_share_one_session_and_every_statement_has_its_settings) {
  std::vector<connection> all;
  for (int i = 0; i < 8; ++i)
    all.push_back(connect(options));
  std::int64_t value = 0;
  for (int round = 0; round < 20; ++round) {
    for (auto& on : all) {
      on.submit(with(insert, ++value));
      on.submit(query{show});
      on.flush();
    }
    for (auto& on : all) {
      auto both = answers(on, 2);
      BOOST_REQUIRE(!failed(both[0]));
      BOOST_REQUIRE(std::get<result>(both[1].outcome).one().get<std::string>(0)
                    == "4321ms 5s read committed");
    }
  }
  BOOST_TEST(database.value("select count(*) from t") == "160");
  // Nothing stays with the session.
  options.statement_timeout = 0ms;
  startup_session plain{options};
  BOOST_TEST(*plain.value("show statement_timeout") == "0");
  BOOST_TEST(*plain.value("show lock_timeout") == "0");
  BOOST_TEST(*plain.value("select count(*) from pg_prepared_statements") == "0");
}

BOOST_AUTO_TEST_CASE(a_transaction_has_its_settings_from_its_begin_on) {
  auto on = connect(options);
  on.submit(query{begin_serializable}, sync_point::later);
  on.submit(query{show}, sync_point::later);
  on.submit(with(insert, 1));
  auto all = answers(on, 3);
  BOOST_REQUIRE(!failed(all[1]));
  BOOST_TEST(std::get<result>(all[1].outcome).one().get<std::string>(0)
             == "4321ms 5s serializable");
  BOOST_TEST(settings(on) == "4321ms 5s serializable");
  BOOST_TEST(rows(on, query{show}.timeout(7s)).one().get<std::string>(0) == "7s 5s serializable");
  BOOST_TEST(settings(on) == "4321ms 5s serializable");
  rows(on, query{commit});
  BOOST_TEST(settings(on) == "4321ms 5s read committed");
  BOOST_TEST(database.value("select count(*) from t") == "1");
}

BOOST_AUTO_TEST_CASE(a_failed_transaction_can_be_rolled_back_without_waiting) {
  auto on = connect(options);
  on.submit(query{begin});
  on.submit(with(divide, 0));
  on.submit(query{rollback});
  on.submit(query{begin}, sync_point::later);
  on.submit(with(insert, 1), sync_point::later);
  on.submit(query{commit});
  auto all = answers(on, 6);
  BOOST_TEST((failed(all[1])->code == errc::invalid_argument));
  BOOST_TEST(!failed(all[2]));
  BOOST_TEST(!failed(all[5]));
  BOOST_TEST(database.value("select count(*) from t") == "1");
}

BOOST_AUTO_TEST_CASE(times_hold_behind_a_pooler_too) {
  options.statement_timeout = 50ms;
  auto on = connect(options);
  BOOST_TEST((refusal(on, query{nap}).code == errc::timed_out));
  options.statement_timeout = 30s;
  auto patient = connect(options);
  BOOST_TEST((refusal(patient, query{nap}.timeout(50ms)).code == errc::timed_out));
  BOOST_TEST(settings(patient) == "30s 5s read committed");
}

BOOST_AUTO_TEST_CASE(without_the_flag_the_pooler_refuses_and_with_it_options_are_refused) {
  options.pooler = false;
  auto why = connect_failure(options);
  BOOST_TEST(why.message.find("unsupported startup parameter") != std::string::npos);
  options.pooler = true;
  options.url += "&options=-c%20jit%3Doff";
  why = connect_failure(options);
  BOOST_TEST((why.code == errc::invalid_argument));
  BOOST_TEST(why.message
             == "options in the database URL cannot be used behind a pooler, which lends a session "
                "for one transaction");
  BOOST_TEST(ping(options).has_value());
}

BOOST_AUTO_TEST_CASE(many_migrate_at_once_through_a_pooler) {
  pgbouncer wide{4};
  test_database empty{test_database::content::empty};
  options.url = wide.url(empty.name());
  BOOST_TEST(!ping(options).has_value());
  BOOST_TEST(schema_version(options) == 0);
  std::vector<migration_report> reports(6);
  {
    std::vector<std::jthread> threads;
    for (auto& report : reports)
      threads.emplace_back([this, &report] { report = migrate(options); });
  }
  std::size_t applied = 0;
  for (const auto& report : reports) {
    BOOST_TEST(report.to == migrations().back().number);
    applied += report.applied.size();
  }
  BOOST_TEST(applied == migrations().size());
  BOOST_TEST(schema_version(options) == migrations().back().number);
  BOOST_TEST(migrate(options).applied.empty());
  BOOST_TEST(empty.value("select count(*) from pg_locks where locktype = 'advisory' and database = "
                         "(select oid from pg_database where datname = current_database())")
             == "0");
}

BOOST_AUTO_TEST_SUITE_END()
