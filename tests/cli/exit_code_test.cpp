// The exit codes scripts rely on.
#include "cli/exit_code.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

using namespace troupe;
using namespace troupe::cli;

namespace {
int code(errc value) {
  return static_cast<int>(exit_code_of(value));
}
int code(long status) {
  return static_cast<int>(exit_code_of_status(status));
}
} // namespace

BOOST_AUTO_TEST_CASE(an_errc_becomes_its_documented_code) {
  BOOST_TEST(code(errc::none) == 0);
  BOOST_TEST(code(errc::internal) == 1);
  BOOST_TEST(code(errc::database) == 1);
  BOOST_TEST(code(errc::invalid_argument) == 2);
  BOOST_TEST(code(errc::not_found) == 3);
  BOOST_TEST(code(errc::conflict) == 4);
  BOOST_TEST(code(errc::unavailable) == 6);
  BOOST_TEST(code(errc::overloaded) == 6);
  BOOST_TEST(code(errc::timed_out) == 7);
}

BOOST_AUTO_TEST_CASE(a_status_becomes_its_documented_code) {
  BOOST_TEST(code(201L) == 0);
  BOOST_TEST(code(400L) == 2);
  BOOST_TEST(code(413L) == 2);
  BOOST_TEST(code(401L) == 5);
  BOOST_TEST(code(404L) == 3);
  BOOST_TEST(code(409L) == 4);
  BOOST_TEST(code(429L) == 6);
  BOOST_TEST(code(503L) == 6);
  BOOST_TEST(code(504L) == 7);
  BOOST_TEST(code(500L) == 1);
  BOOST_TEST(code(418L) == 1);
}

BOOST_AUTO_TEST_CASE(every_code_that_an_answer_can_become_is_told_in_the_help) {
  for (long status = 100; status < 600; ++status)
    BOOST_TEST((std::find_if(exit_meanings.begin(), exit_meanings.end(),
                             [status](const auto& each) {
                               return each.first == exit_code_of_status(status);
                             })
                != exit_meanings.end()),
               status);
  BOOST_TEST(std::is_sorted(exit_meanings.begin(), exit_meanings.end(),
                            [](const auto& one, const auto& other) {
                              return static_cast<int>(one.first) < static_cast<int>(other.first);
                            }));
}
