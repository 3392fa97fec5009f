// What the engine's options say to its HTTP server.
#include "http/tls_context.hpp"
#include "launcher/listening.hpp"
#include "messages/engine_error.hpp"
#include "tests/support/certificates.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::tests;

namespace {

using words = std::vector<std::string>;

engine_options serving() {
  engine_options out;
  out.http = true;
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(each_place_has_its_url) {
  auto options = serving();
  BOOST_TEST(urls_of(options, 7) == words{"http://127.0.0.1:7"}, boost::test_tools::per_element());
  options.address = "::1";
  options.tls_certificate = "a.crt";
  options.socket_path = "/run/t.sock";
  BOOST_TEST(urls_of(options, 7) == (words{"https://[::1]:7", "unix:/run/t.sock"}),
             boost::test_tools::per_element());
  options.address.clear();
  BOOST_TEST(urls_of(options, 0) == words{"unix:/run/t.sock"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_socket_may_lie_in_a_data_directory_that_is_not_there_yet) {
  const temp_dir under;
  const auto data = under.path() / "new" / "data";
  auto options = serving();
  options.address.clear();
  options.data_dir = data.string();
  options.socket_path = (data / "t.sock").string();
  {
    const auto doors = open_doors(options);
    BOOST_TEST(std::filesystem::is_socket(options.socket_path));
    BOOST_TEST((std::filesystem::status(data).permissions() == std::filesystem::perms::owner_all));
  }
  options.data_dir = (under.path() / "other").string(); // is made by its user
  const auto doors = open_doors(options);
  BOOST_TEST(!std::filesystem::exists(options.data_dir));
}

BOOST_AUTO_TEST_CASE(a_rate_of_callers_is_what_comes_back_and_its_burst) {
  engine_options options;
  BOOST_TEST(server_options_of(options, nullptr).limits.caller_each.count() == 0);
  options.http_rate = 1'000'000;
  BOOST_TEST(server_options_of(options, nullptr).limits.caller_each.count() == 1000);
  BOOST_TEST(server_options_of(options, nullptr).limits.caller_burst == 1'000'000);
  options.http_burst = 7;
  BOOST_TEST(server_options_of(options, nullptr).limits.caller_burst == 7);
}

BOOST_AUTO_TEST_CASE(a_certificate_is_read_when_http_is_served_by_tls) {
  const certificates made;
  made.issue("server", "localhost");
  auto options = serving();
  BOOST_TEST(!read_certificate(options));
  BOOST_TEST(!health_of(nullptr));
  options.tls_certificate = made.file("server.crt");
  options.tls_key = made.file("server.key");
  const auto tls = read_certificate(options);
  BOOST_REQUIRE(tls);
  BOOST_TEST((health_of(tls)().status == health_status::degraded)); // of one day
  BOOST_TEST((server_options_of(options, tls).tls == tls));
  options.tls_key = made.file("ca.key");
  BOOST_CHECK_EXCEPTION(read_certificate(options), engine_error, [](const engine_error& e) {
    return e.code() == errc::invalid_argument
           && std::string{e.what()}.find("ca.key") != std::string::npos;
  });
  options.http = false;
  BOOST_TEST(!read_certificate(options));
}

BOOST_AUTO_TEST_CASE(addresses_are_taken_where_http_is_served_and_a_taken_one_is_a_wrong_option) {
  engine_options silent;
  const auto none = open_doors(silent);
  BOOST_TEST(!none.tcp);
  BOOST_TEST(!none.path);
  auto options = serving();
  options.port = 0;
  const auto mine = open_doors(options);
  BOOST_REQUIRE(mine.tcp);
  options.port = mine.tcp->port();
  BOOST_CHECK_EXCEPTION(open_doors(options), engine_error, [&](const engine_error& e) {
    return e.code() == errc::invalid_argument
           && std::string{e.what()}.find(":" + std::to_string(options.port)) != std::string::npos;
  });
}
