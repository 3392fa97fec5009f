// A user's statements that a connection is sent again are prepared, within bounds, and whatever
// becomes of them on the server is an error once at most.
#include "db/kept_statements.hpp"
#include "db/statements.hpp"
#include "tests/support/database.hpp"
#include "tests/support/drive.hpp"
#include "tests/support/pgbouncer.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;

namespace {

struct server {
  test_database database{test_database::content::empty};
  connection on = connect(database.url());

  server() { database.exec("create table t (a int, b text)"); }

  std::int64_t prepared(const std::string& text = "%") {
    return rows(on,
                make_query("select count(*) from pg_prepared_statements where name like 'user.%' "
                           "and statement like $1 and statement not like '%pg_prepared%'",
                           text))
        .one()
        .get<std::int64_t>(0);
  }
  void send(int times, const std::string& text) {
    for (int i = 0; i < times; ++i)
      rows(on, make_query(text));
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(kept, server)

BOOST_AUTO_TEST_CASE(what_is_sent_again_is_prepared_once_for_each_set_of_types) {
  send(1, "select 1");
  BOOST_TEST(prepared("select 1") == 0);
  send(5, "select 1");
  BOOST_TEST(prepared("select 1") == 1);
  for (int i = 0; i < 4; ++i) {
    BOOST_TEST(rows(on, make_query("select $1 + 1", i)).one().get<std::int32_t>(0) == i + 1);
    BOOST_TEST(rows(on, make_query("select $1 + 1", std::int64_t{i})).one().get<std::int64_t>(0)
               == i + 1);
  }
  BOOST_TEST(prepared("select $1 + 1") == 2);
}

BOOST_AUTO_TEST_CASE(what_has_no_plan_or_gives_whatever_columns_is_not) {
  send(4, "set local work_mem = '1MB'");
  send(4, "select * from t");
  send(4, "insert into t values (1) returning *");
  send(4, "-- first\nwith x as (select a from t) select x.* from x");
  send(4, "select '" + std::string(kept_statements::max_text, 'x') + "'");
  BOOST_TEST(prepared() == 0);
  send(4, "select a, t.\n* from t");
  BOOST_TEST(prepared() == 0);
  send(4, "select count(*) from t");
  send(4, "/* first */ select a * 2, 3*a from t");
  send(4, "-- first\nupdate t set a = 2");
  BOOST_TEST(prepared() == 3);
}

BOOST_AUTO_TEST_CASE(a_column_whose_type_changes_is_an_error_once) {
  send(4, "select a from t");
  database.exec("alter table t alter a type bigint");
  BOOST_TEST((refusal(on, make_query("select a from t")).code == errc::retry));
  send(4, "select a from t");
  database.exec("drop table t");
  BOOST_TEST(refusal(on, make_query("select a from t")).sqlstate == "42P01");
  database.exec("create table t (a bigint)");
  send(2, "select a from t");
}

BOOST_AUTO_TEST_CASE(statements_that_fail_are_told_as_ever) {
  for (int i = 0; i < 4; ++i) {
    const auto wrong = refusal(on, make_query("select nonsense"));
    BOOST_TEST(wrong.sqlstate == "42703");
    BOOST_TEST(wrong.statement == "select nonsense");
    BOOST_TEST((refusal(on, make_query("select 1 / $1", 0)).code == errc::invalid_argument));
    BOOST_TEST(rows(on, make_query("select 1 / $1", 1)).one().get<std::int32_t>(0) == 1);
  }
}

BOOST_AUTO_TEST_CASE(in_a_group_that_fails_the_next_use_prepares_anew) {
  send(1, "select 7");
  send(1, "select 8");
  on.submit(make_query("select nonsense"), sync_point::later);
  on.submit(make_query("select 7"), sync_point::later); // its Parse is skipped
  on.submit(make_query("select 8"));
  for (const auto& one : answers(on, 3))
    BOOST_TEST(std::holds_alternative<db_failure>(one.outcome));
  send(2, "select 7");
  send(2, "select 8");
  BOOST_TEST(prepared("select 7") == 1);
}

BOOST_AUTO_TEST_CASE(there_are_no_more_than_the_bound_until_all_are_dropped) {
  BOOST_TEST(!on.wants_deallocation());
  for (std::size_t i = 0; i < kept_statements::max_kept + 20; ++i)
    send(2, "select " + std::to_string(i));
  BOOST_TEST(on.wants_deallocation());
  BOOST_TEST(prepared() == static_cast<std::int64_t>(kept_statements::max_kept));
  rows(on, query{sql::session_ping});
  rows(on, query{sql::session_deallocate});
  BOOST_TEST(!on.wants_deallocation());
  BOOST_TEST(prepared() == 0);
  rows(on, query{sql::session_ping});
  rows(on, query{sql::session_deallocate});
  send(3, "select 1");
  BOOST_TEST(prepared("select 1") == 1);
}

BOOST_AUTO_TEST_CASE(a_user_who_drops_them_himself_is_told_to_try_again_once) {
  send(3, "select 1");
  send(1, "deallocate all");
  BOOST_TEST((refusal(on, make_query("select 1")).code == errc::retry));
  send(3, "select 1");
}

BOOST_AUTO_TEST_CASE(behind_a_pooler_nothing_is_prepared) {
  pgbouncer bouncer{1};
  connect_options options;
  options.url = bouncer.url(database.name());
  options.pooler = true;
  on = connect(options);
  send(4, "select 1");
  BOOST_TEST(prepared() == 0);
}

BOOST_AUTO_TEST_SUITE_END()
