// Database URLs: what is in them, what is wrong with them, and that secrets stay out of sight.
#include "db/conninfo.hpp"

#include <boost/test/unit_test.hpp>

using troupe::errc;
using namespace troupe::db;

namespace {

conninfo read(const std::string& url) {
  auto parsed = conninfo::parse(url);
  if (const auto* why = std::get_if<db_failure>(&parsed))
    BOOST_FAIL(why->message);
  return std::get<conninfo>(parsed);
}

std::string fault(const std::string& url) {
  auto parsed = conninfo::parse(url);
  const auto* why = std::get_if<db_failure>(&parsed);
  BOOST_REQUIRE_MESSAGE(why, url << " was read");
  BOOST_TEST((why->code == errc::invalid_argument));
  BOOST_TEST(!why->retryable);
  return why->message;
}

std::string hosts(const std::string& url) {
  std::string text;
  const auto info = read(url);
  for (const auto& each : info.hosts())
    text += each.name + "|" + each.port + "|" + each.address + ";";
  return text;
}

/// The environment decides what is left out.
struct empty_environment {
  empty_environment() {
    for (const char* name : {"PGHOST", "PGPORT", "PGHOSTADDR"})
      ::unsetenv(name);
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(database_urls, empty_environment)

BOOST_AUTO_TEST_CASE(hosts_are_listed_in_their_order_with_their_ports) {
  BOOST_TEST(hosts("postgresql://u@a:1,b:2/db") == "a|1|;b|2|;");
  BOOST_TEST(hosts("host=a,b port=7") == "a|7|;b|7|;");
  BOOST_TEST(hosts("host=a,b,c hostaddr=1.1.1.1,,3.3.3.3") == "a||1.1.1.1;b||;c||3.3.3.3;");
  BOOST_TEST(hosts("hostaddr=1.1.1.1,2.2.2.2") == "||1.1.1.1;||2.2.2.2;");
  BOOST_TEST(hosts("postgresql:///db") == "||;");
  BOOST_TEST(hosts("postgresql://u@/db?host=/run/pg&port=5433") == "/run/pg|5433|;");
  ::setenv("PGHOST", "x,y", 1);
  ::setenv("PGPORT", "5,6", 1);
  BOOST_TEST(hosts("dbname=db") == "x|5|;y|6|;");
  BOOST_TEST(hosts("postgresql://a/db?port=9") == "a|9|;");
  empty_environment{};
}

BOOST_AUTO_TEST_CASE(only_names_have_to_be_looked_up) {
  using names = std::vector<std::string>;
  BOOST_TEST(read("host=a,10.0.0.1,/run/pg,b,a").names_to_look_up() == (names{"a", "b"}),
             boost::test_tools::per_element());
  BOOST_TEST(read("postgresql://[::1]/db").names_to_look_up().empty());
  BOOST_TEST(read("host=a hostaddr=10.0.0.1").names_to_look_up().empty());
  BOOST_TEST(read("dbname=db").names_to_look_up().empty());
}

BOOST_AUTO_TEST_CASE(an_unknown_key_is_named_with_the_one_that_was_meant) {
  BOOST_TEST(fault("hots=x")
             == "the database URL has the unknown key \"hots\"; did you mean \"host\"?");
  BOOST_TEST(fault("postgresql://u:secret@h/db?ssl_mode=require")
             == "the database URL has the unknown key \"ssl_mode\"; did you mean \"sslmode\"?");
  BOOST_TEST(fault("host=h frobnicate=1") == "the database URL has the unknown key \"frobnicate\"");
}

BOOST_AUTO_TEST_CASE(a_wrong_value_is_named_with_what_is_allowed) {
  BOOST_TEST(fault("postgresql://h:70000/db")
             == "the database URL says port=70000; it has to be a number from 1 to 65535");
  BOOST_TEST(fault("host=h port=5432x").find("port=5432x") != std::string::npos);
  BOOST_TEST(
      fault("host=h sslmode=on")
      == "the database URL says sslmode=on; it has to be one of disable allow prefer require "
         "verify-ca verify-full");
  BOOST_TEST(fault("host=h target_session_attrs=rw").find("read-write") != std::string::npos);
  BOOST_TEST(fault("host=h client_encoding=LATIN1").find("UTF8") != std::string::npos);
  BOOST_TEST(fault("host=h connect_timeout=soon").find("connect_timeout=soon")
             != std::string::npos);
  BOOST_TEST(fault("host=h keepalives=2").find("0 or 1") != std::string::npos);
  BOOST_TEST(fault("host=h tcp_user_timeout=-1").find("milliseconds") != std::string::npos);
  BOOST_TEST(fault("host=h sslmode='require verify-ca'").find("sslmode") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(lists_of_different_lengths_are_told) {
  BOOST_TEST(fault("host=a,b port=1,2,3")
             == "the database URL names 3 in port where there are 2 hosts");
  BOOST_TEST(fault("host=a,b hostaddr=1.1.1.1").find("1 in hostaddr where there are 2")
             != std::string::npos);
  BOOST_TEST(fault("host=a hostaddr=1.1.1.1,2.2.2.2").find("1 in host where there are 2")
             != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_read_is_not_repeated) {
  for (const char* url : {"postgre://user:secret@host/db", "host=x password=my secret",
                          "postgresql://user:secret%zz@host/db", "secret"})
    BOOST_TEST(fault(url).find("secret") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(for_logs_the_url_has_no_secrets_and_says_all_else) {
  auto shown = read("postgresql://me:top-secret@a:1,b:2/my%20db?sslmode=require&sslpassword=hidden"
                    "&application_name=x%26y")
                   .redacted();
  BOOST_TEST(shown.find("secret") == std::string::npos);
  BOOST_TEST(shown.find("hidden") == std::string::npos);
  BOOST_TEST(shown.starts_with("postgresql://me@/my%20db?"));
  // It can be read again, and is the same without the secrets.
  auto again = read(shown);
  BOOST_TEST(again.redacted() == shown);
  BOOST_TEST(*again.find("application_name") == "x&y");
  BOOST_TEST(*again.find("host") == "a,b");
  BOOST_TEST(again.hosts().size() == 2U);
  BOOST_TEST(read("").redacted() == "postgresql:///");
}

BOOST_AUTO_TEST_SUITE_END()
