// Making connections, and what a person reads when that fails.
#include "db/admin.hpp"
#include "db/connecting.hpp"
#include "tests/support/database.hpp"
#include "tests/support/drive.hpp"
#include "tests/support/mute_server.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;

namespace {

const statement show{"show", "select current_setting($1)"};

std::string setting(connection& on, const char* name) {
  query q{show};
  q.bind(name);
  return rows(on, q).one().get<std::string>(0);
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_connection_has_the_settings_the_engine_needs) {
  connect_options options;
  options.url = server_url();
  options.application_name = "troupe settings";
  options.statement_timeout = std::chrono::milliseconds{1234};
  options.lock_timeout = std::chrono::milliseconds{567};
  options.idle_in_transaction_timeout = std::chrono::milliseconds{8900};
  auto on = connect(options);
  BOOST_TEST(setting(on, "application_name") == "troupe settings");
  BOOST_TEST(setting(on, "statement_timeout") == "1234ms");
  BOOST_TEST(setting(on, "lock_timeout") == "567ms");
  BOOST_TEST(setting(on, "idle_in_transaction_session_timeout") == "8900ms");
  BOOST_TEST(setting(on, "client_encoding") == "UTF8");
  BOOST_TEST(setting(on, "TimeZone") == "UTC");
  BOOST_TEST(on.server_version() >= oldest_server_version);
  BOOST_TEST(on.backend_pid() > 0);
  BOOST_TEST(on.socket() >= 0);
}

BOOST_AUTO_TEST_CASE(how_statements_are_planned_is_left_to_the_server) {
  auto on = connect(server_url());
  for (const char* name : {"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"})
    BOOST_TEST(rows(on, make_query("select source from pg_settings where name = $1", name))
                   .one()
                   .get<std::string>(0)
               != "client");
}

BOOST_AUTO_TEST_CASE(options_of_the_url_win_over_ours) {
  auto on =
      connect(server_url() + "&options=-c%20statement_timeout%3D42s" + "&application_name=mine");
  BOOST_TEST(setting(on, "statement_timeout") == "42s");
  BOOST_TEST(setting(on, "lock_timeout") == "5s");
  BOOST_TEST(setting(on, "application_name") == "mine");
}

BOOST_AUTO_TEST_CASE(a_key_value_string_is_as_good_as_a_url) {
  auto url = server_url();
  auto begin = url.find("host=") + 5;
  auto host = url.substr(begin, url.find('&', begin) - begin);
  auto on = connect("host=" + host + " user=postgres dbname=postgres application_name='a b'");
  BOOST_TEST(setting(on, "application_name") == "a b");
}

BOOST_AUTO_TEST_CASE(no_such_socket_names_it) {
  auto why = connect_failure("postgresql://postgres@/postgres?host=/tmp/troupe-nobody-is-here");
  BOOST_TEST((why.code == errc::unavailable));
  BOOST_TEST(why.retryable);
  BOOST_TEST(contains(why.message, "/tmp/troupe-nobody-is-here/.s.PGSQL.5432"));
  BOOST_TEST(contains(why.message, "No such file or directory"));
  BOOST_TEST(!contains(why.message, "\n"));
}

BOOST_AUTO_TEST_CASE(nobody_listening_names_host_and_port) {
  auto why = connect_failure("postgresql://postgres@127.0.0.1:1/postgres");
  BOOST_TEST((why.code == errc::unavailable));
  BOOST_TEST(contains(why.message, "port 1 failed: Connection refused"));
}

BOOST_AUTO_TEST_CASE(a_missing_database_is_named_with_what_to_do) {
  auto why = connect_failure(with_database(server_url(), "troupe_no_such"));
  BOOST_TEST((why.code == errc::unavailable));
  BOOST_TEST(why.sqlstate == "3D000");
  BOOST_TEST(contains(why.message, "database \"troupe_no_such\" does not exist; create"));
  BOOST_TEST(!contains(why.message, "3D000"));
  BOOST_TEST(!contains(why.message, "LOCATION"));
}

BOOST_AUTO_TEST_CASE(a_wrong_password_says_where_to_look_and_is_not_repeated) {
  // scripts/test-database asks this one user for a password.
  exec_script(server_url(), "drop role if exists needs_password;"
                            "create role needs_password login password 'right'");
  auto url = server_url();
  url.replace(url.find("postgres@"), 9, "needs_password:wrong-secret@");
  auto why = connect_failure(url);
  BOOST_TEST((why.code == errc::unavailable));
  BOOST_TEST(why.sqlstate == "28P01");
  BOOST_TEST(contains(why.message, "password authentication failed for user \"needs_password\""));
  BOOST_TEST(contains(why.message, "check user and password"));
  BOOST_TEST(!contains(why.message, "wrong-secret"));
  url.replace(url.find("wrong-secret"), 12, "right");
  auto on = connect(url);
  BOOST_TEST(setting(on, "application_name") == "troupe test");
}

BOOST_AUTO_TEST_CASE(a_malformed_url_is_explained_without_its_secrets) {
  for (const char* url : {"postgre://user:secret@host/db", "host=x password=my secret",
                          "postgresql://user:secret%zz@host/db", "secret"}) {
    auto why = connect_failure(url);
    BOOST_TEST((why.code == errc::invalid_argument));
    BOOST_TEST(!why.retryable);
    BOOST_TEST(contains(why.message, "the database URL cannot be read"));
    BOOST_TEST(!contains(why.message, "secret"));
  }
  BOOST_TEST(contains(connect_failure("hots=x").message, "\"hots\""));
}

BOOST_AUTO_TEST_CASE(a_server_that_never_answers_costs_the_timeout_and_no_more) {
  mute_server quiet;
  connect_options options;
  options.url = "postgresql://postgres@127.0.0.1:" + quiet.port() + "/postgres?sslmode=disable";
  options.connect_timeout = std::chrono::seconds{1};
  auto began = std::chrono::steady_clock::now();
  auto why = connect_failure(options);
  auto took = std::chrono::steady_clock::now() - began;
  BOOST_TEST((why.code == errc::unavailable));
  BOOST_TEST(contains(why.message, "no answer from PostgreSQL at 127.0.0.1 within 1 s"));
  BOOST_TEST((took >= std::chrono::milliseconds{990}));
  BOOST_TEST((took < std::chrono::seconds{30}));
}

BOOST_AUTO_TEST_CASE(ping_tells_why_there_is_no_answer) {
  BOOST_TEST(!ping(server_url()).has_value());
  auto why = ping("postgresql://postgres@127.0.0.1:1/postgres");
  BOOST_REQUIRE(why.has_value());
  BOOST_TEST(contains(*why, "Connection refused"));
}

BOOST_AUTO_TEST_CASE(a_script_runs_several_statements_or_throws) {
  test_database database{test_database::content::empty};
  exec_script(database.url(), "create table t (a int); insert into t values (1), (2)");
  BOOST_TEST(database.value("select count(*) from t") == "2");
  BOOST_CHECK_EXCEPTION(
      exec_script(database.url(), "insert into t values (3);\nselect 1/0"), db_error,
      [](const db_error& error) { return error.what_failed().sqlstate == "22012"; });
  BOOST_TEST(database.value("select count(*) from t") == "2");
}
