// The options about the database: what is refused names its key, what is right reaches the room.
#include "launcher/database_options.hpp"
#include "launcher/engine.hpp"
#include "messages/engine_error.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

template<class Change>
std::string refusal(Change change) {
  engine_options options;
  options.database_url = "postgresql://u@h/x";
  change(options);
  try {
    check_database_options(options);
  } catch (const engine_error& e) {
    BOOST_TEST((e.code() == errc::invalid_argument));
    return e.what();
  }
  return {};
}

using o = engine_options;

} // namespace

BOOST_AUTO_TEST_CASE(the_defaults_are_right_with_and_without_a_url) {
  BOOST_TEST(refusal([](o&) {}).empty());
  BOOST_TEST(refusal([](o& all) { all.database_url.clear(); }).empty());
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_told_with_its_key) {
  const auto named = [](const char* key, auto change) {
    const auto why = refusal(change);
    BOOST_TEST(why.starts_with(std::string{key} + ": "), key << " in: " << why);
  };
  named("database.url", [](o& all) { all.database_url = "postgresql://h/x?no_such_key=1"; });
  named("database.url", [](o& all) { all.database_url = "mysql://h/x"; });
  named("database.max_connections", [](o& all) { all.database.max_connections = 1; });
  named("database.max_connections", [](o& all) { all.database.max_connections = 1001; });
  named("database.min_connections", [](o& all) { all.database.min_connections = -1; });
  named("database.min_connections", [](o& all) { all.database.min_connections = 5; });
  named("database.max_waiting", [](o& all) { all.database.max_waiting = 0; });
  named("database.acquire_timeout", [](o& all) { all.database.acquire_timeout = 9ms; });
  named("database.acquire_timeout", [](o& all) { all.database.acquire_timeout = 2h; });
  named("database.statement_timeout", [](o& all) { all.database.statement_timeout = 0ms; });
  named("database.idle_limit", [](o& all) { all.database.idle_limit = 999ms; });
  named("database.max_lifetime", [](o& all) { all.database.max_lifetime = 0ms; });
  named("database.password_file", [](o& all) { all.database.password_file = "/no/such"; });
  named("database.password_file", [](o& all) {
    all.database_url.clear();
    all.database.password_file = "/dev/null";
  });
  named("database.pooler", [](o& all) {
    all.database.pooler = true;
    all.database_url = "postgresql://h/x?options=-cgeqo%3Doff";
  });
  named("database.pooler", [](o& all) {
    all.database.pooler = true;
    all.database_url.clear();
  });
}

BOOST_AUTO_TEST_CASE(all_that_is_wrong_is_told_together) {
  const auto why = refusal([](o& all) {
    all.database_url = "mysql://h/x";
    all.database.max_connections = 1;
    all.database.acquire_timeout = 9ms;
    all.database.password_file = "/no/such";
  });
  for (const auto* key : {"database.url: ", "; database.max_connections: ",
                          "; database.acquire_timeout: ", "; database.password_file: "})
    BOOST_TEST(why.find(key) != std::string::npos, key << " in: " << why);
}

BOOST_AUTO_TEST_CASE(an_engine_is_not_made_of_wrong_options) {
  engine_options wrong;
  wrong.database.max_connections = 1;
  wrong.database.max_lifetime = 0ms;
  BOOST_CHECK_EXCEPTION(engine{wrong}, engine_error, [](const engine_error& e) {
    return e.code() == errc::invalid_argument
           && std::string{e.what()}.find("; database.max_lifetime: ") != std::string::npos;
  });
}

BOOST_AUTO_TEST_CASE(a_refusal_does_not_show_the_password) {
  const auto why =
      refusal([](o& all) { all.database_url = "postgresql://u:s3cret@h/x?no_such_key=1"; });
  BOOST_TEST(!why.empty());
  BOOST_TEST(why.find("s3cret") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(they_become_those_of_a_connection) {
  const tests::temp_dir folder;
  const auto path = (folder.path() / "password").string();
  std::ofstream{path} << "secret\n";
  engine_options all;
  all.database_url = "postgresql://u@h/x";
  all.database.password_file = path;
  all.database.statement_timeout = 1234ms;
  all.database.pooler = true;
  check_database_options(all);
  const auto made = connect_options_of(all.database_url, all.database, "name");
  BOOST_TEST(made.url == all.database_url);
  BOOST_TEST(made.password_file == path);
  BOOST_TEST((made.statement_timeout == 1234ms));
  BOOST_TEST(made.pooler);
  BOOST_TEST(made.application_name == "name");
}

BOOST_AUTO_TEST_CASE(the_least_connections_are_half_of_the_most_unless_they_are_given) {
  database_options given;
  const auto least = [&](int most, int wanted = 0) {
    given.max_connections = most;
    given.min_connections = wanted;
    return bounds_of(given).min_connections;
  };
  BOOST_TEST(least(2) == 2U);
  BOOST_TEST(least(3) == 2U);
  BOOST_TEST(least(9) == 5U);
  BOOST_TEST(least(9, 1) == 1U);
  BOOST_TEST(bounds_of(given).max_connections == 9U);
  BOOST_TEST(bounds_of(given).max_waiting == 4096U);
  BOOST_TEST((bounds_of(given).statement_timeout == 10s));
}

BOOST_AUTO_TEST_CASE(a_right_that_is_missing_comes_with_the_command_that_names_them_all) {
  db::db_failure why;
  why.sqlstate = "42501";
  why.message = "permission denied for schema troupe";
  BOOST_TEST(refused_by(db::db_error(why)).what()
             == std::string{"permission denied for schema troupe; 'troupe doctor' says what this "
                            "user lacks"});
  why.sqlstate = "42P01";
  why.message = "there is no such table";
  BOOST_TEST(refused_by(db::db_error(why)).what() == std::string{"there is no such table"});
}
