// Which server is connected to, and how: several hosts, addresses looked up by the caller, times,
// certificates, passwords that change.
#include "db/admin.hpp"
#include "db/connecting.hpp"
#include "tests/support/await.hpp"
#include "tests/support/database.hpp"
#include "tests/support/drive.hpp"
#include "tests/support/mute_server.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>
#include <netinet/tcp.h>
#include <poll.h>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string socket_directory() {
  auto url = server_url();
  auto begin = url.find("host=") + 5;
  return url.substr(begin, url.find('&', begin) - begin);
}

/// Each of several hosts has its share of a time that a slow machine needs.
connect_options options_for(const std::string& url) {
  connect_options options;
  options.url = url;
  options.connect_timeout = patience;
  return options;
}

int number_of(int socket, int which) {
  int value = 0;
  socklen_t size = sizeof value;
  BOOST_REQUIRE(::getsockopt(socket, IPPROTO_TCP, which, &value, &size) == 0);
  return value;
}

/// Connects, and fails after the server has said this.
void refuse(connecting& attempt, mute_server& server, const std::string& bytes) {
  auto want = attempt.step();
  bool answered = false;
  while (want != connecting::want::failed && want != connecting::want::done) {
    pollfd watched{attempt.socket(),
                   static_cast<short>(want == connecting::want::read ? POLLIN : POLLOUT), 0};
    if (want == connecting::want::read && !std::exchange(answered, true))
      server.answer(bytes);
    BOOST_REQUIRE(::poll(&watched, 1, 10'000) == 1);
    want = attempt.step();
  }
  BOOST_REQUIRE((want == connecting::want::failed));
}

const statement who{"who", "select current_database()::text"};

} // namespace

BOOST_AUTO_TEST_CASE(the_first_host_that_answers_is_used) {
  auto on = connect(options_for("host=127.0.0.1,/tmp/troupe-nobody-is-here," + socket_directory()
                                + " port=1,1,5432 user=postgres dbname=postgres"));
  BOOST_TEST(rows(on, query{who}).one().get<std::string>(0) == "postgres");
}

BOOST_AUTO_TEST_CASE(a_host_that_does_not_answer_costs_its_share_of_the_time) {
  mute_server silent;
  auto options = options_for("host=127.0.0.1," + socket_directory() + " port=" + silent.port()
                             + ",5432 user=postgres dbname=postgres sslmode=disable");
  options.connect_timeout = 10s; // half of it is for the other one
  auto began = std::chrono::steady_clock::now();
  auto on = connect(options);
  auto took = std::chrono::steady_clock::now() - began;
  BOOST_TEST(rows(on, query{who}).one().get<std::string>(0) == "postgres");
  BOOST_TEST((took >= 4990ms));
}

BOOST_AUTO_TEST_CASE(of_several_hosts_one_that_takes_writes_is_used) {
  test_database standby{test_database::content::empty};
  exec_script(server_url(),
              "alter database " + standby.name() + " set default_transaction_read_only = on");
  auto directory = socket_directory();
  auto why = connect_failure(options_for("host=" + directory + "," + directory
                                         + " port=5432 user=postgres dbname=" + standby.name()));
  BOOST_TEST((why.code == errc::unavailable));
  BOOST_TEST(contains(why.message, "session is read-only"));
  BOOST_TEST(why.retryable);
  // A single host is taken as it is, unless the URL says otherwise.
  connect("host=" + directory + " user=postgres dbname=" + standby.name());
  BOOST_TEST(contains(
      connect_failure("host=" + directory
                      + " user=postgres target_session_attrs=read-write dbname=" + standby.name())
          .message,
      "session is read-only"));
  connect(options_for("host=" + directory + "," + directory
                      + " user=postgres target_session_attrs=any dbname=" + standby.name()));
}

BOOST_AUTO_TEST_CASE(when_all_hosts_fail_each_says_why_and_the_servers_word_decides) {
  auto why = connect_failure(
      options_for("host=127.0.0.1," + socket_directory()
                  + ",127.0.0.1 port=1,5432,2 user=postgres dbname=troupe_no_such"));
  BOOST_TEST(contains(why.message, "port 1 failed: Connection refused"));
  BOOST_TEST(contains(why.message, "\"troupe_no_such\" does not exist"));
  BOOST_TEST(contains(why.message, "port 2 failed: Connection refused"));
  BOOST_TEST(why.sqlstate == "3D000");
}

BOOST_AUTO_TEST_CASE(addresses_that_the_caller_found_are_tried_in_turn_and_no_name_is_looked_up) {
  auto options = options_for("postgresql://postgres@db.example.invalid:1/postgres");
  options.addresses["db.example.invalid"] = {"127.0.0.1", "127.0.0.2"};
  auto why = connect_failure(options);
  BOOST_TEST(contains(why.message,
                      "db.example.invalid: connection to server at \"127.0.0.1\", port 1 failed"));
  BOOST_TEST(contains(why.message,
                      "db.example.invalid: connection to server at \"127.0.0.2\", port 1 failed"));
}

BOOST_AUTO_TEST_CASE(a_vanished_peer_is_noticed_by_the_kernel_unless_the_url_says_otherwise) {
  mute_server silent;
  auto attempt = connecting::start("host=127.0.0.1 sslmode=disable port=" + silent.port());
  attempt.step();
  BOOST_TEST(number_of(attempt.socket(), TCP_KEEPIDLE) == 5);
  BOOST_TEST(number_of(attempt.socket(), TCP_KEEPINTVL) == 2);
  BOOST_TEST(number_of(attempt.socket(), TCP_KEEPCNT) == 3);
  BOOST_TEST(number_of(attempt.socket(), TCP_USER_TIMEOUT) == 10'000);
  auto other = connecting::start(
      "host=127.0.0.1 sslmode=disable keepalives_idle=50 tcp_user_timeout=0 port=" + silent.port());
  other.step();
  BOOST_TEST(number_of(other.socket(), TCP_KEEPIDLE) == 50);
  BOOST_TEST(number_of(other.socket(), TCP_USER_TIMEOUT) == 0);
}

BOOST_AUTO_TEST_CASE(a_server_that_is_too_old_is_refused_with_its_version) {
  using namespace std::string_literals;
  mute_server old;
  auto attempt = connecting::start("host=127.0.0.1 sslmode=disable gssencmode=disable user=u port="
                                   + old.port());
  refuse(attempt, old,
         "R\0\0\0\x08\0\0\0\0"s
             + "S\0\0\0\x18server_version\0"
               "13.9\0"s
             + "Z\0\0\0\x05I"s);
  BOOST_TEST(attempt.error() == "PostgreSQL 14 or newer is needed; this server is version 13");
  BOOST_TEST(!attempt.failure().retryable);
}

BOOST_AUTO_TEST_CASE(a_missing_certificate_is_told_before_anything_is_tried) {
  auto why = connect_failure(
      "postgresql://u@127.0.0.1:1/db?sslmode=verify-full&sslrootcert=/tmp/troupe-no-such.crt");
  BOOST_TEST((why.code == errc::invalid_argument));
  BOOST_TEST(contains(why.message, "sslrootcert"));
  BOOST_TEST(contains(why.message, "/tmp/troupe-no-such.crt"));
  const char* home = std::getenv("HOME");
  const std::string before = home ? home : "";
  ::setenv("HOME", "/tmp/troupe-nobody-lives-here", 1);
  why = connect_failure("postgresql://u@127.0.0.1:1/db?sslmode=verify-ca");
  ::setenv("HOME", before.c_str(), 1);
  BOOST_TEST(contains(why.message, "sslmode=verify-ca in the database URL needs sslrootcert=FILE"));
}

BOOST_AUTO_TEST_CASE(a_server_without_tls_is_refused_when_tls_is_required) {
  mute_server plain;
  auto attempt = connecting::start("host=127.0.0.1 sslmode=require gssencmode=disable user=u port="
                                   + plain.port());
  refuse(attempt, plain, "N");
  BOOST_TEST(contains(attempt.error(), "server does not support SSL, but SSL was required"));
}

BOOST_AUTO_TEST_CASE(a_password_file_is_read_for_every_connection) {
  exec_script(server_url(), "drop role if exists needs_password;"
                            "create role needs_password login password 'first'");
  temp_dir dir;
  auto path = (dir.path() / "password").string();
  auto write = [&](const std::string& text) { std::ofstream{path} << text; };
  auto options = options_for("host=" + socket_directory() + " user=needs_password dbname=postgres");
  options.password_file = path;
  auto why = connect_failure(options);
  BOOST_TEST(contains(why.message, path));
  BOOST_TEST(why.retryable);
  write("first\n");
  connect(options);
  exec_script(server_url(), "alter role needs_password password 'second'");
  why = connect_failure(options);
  BOOST_TEST(why.sqlstate == "28P01");
  write("second");
  connect(options);
  options.url += " password=wrong";
  connect(options);
  options.password_file.clear();
  BOOST_TEST(connect_failure(options).sqlstate == "28P01");
}

BOOST_AUTO_TEST_CASE(a_password_that_is_missing_altogether_is_told) {
  exec_script(server_url(), "drop role if exists needs_password;"
                            "create role needs_password login password 'right'");
  auto why = connect_failure("host=" + socket_directory()
                             + " user=needs_password dbname=postgres passfile=/nowhere");
  BOOST_TEST(contains(why.message, "no password supplied"));
  BOOST_TEST(contains(why.message, "password file"));
  BOOST_TEST(why.sqlstate == "28P01");
}

BOOST_AUTO_TEST_CASE(too_many_connections_are_told_with_what_to_do) {
  exec_script(server_url(),
              "drop role if exists only_one; create role only_one login connection limit 1");
  const std::string url = "host=" + socket_directory() + " user=only_one dbname=postgres";
  auto first = connect(url);
  auto why = connect_failure(url);
  BOOST_TEST((why.code == errc::unavailable));
  BOOST_TEST(why.sqlstate == "53300");
  BOOST_TEST(why.retryable);
  BOOST_TEST(contains(why.message, "too many connections for role \"only_one\""));
  BOOST_TEST(contains(why.message, "use fewer connections"));
}
