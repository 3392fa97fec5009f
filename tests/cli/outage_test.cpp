// How long a server that is away is borne.
#include "cli/outage.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe::cli;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(a_server_that_answered_is_borne_for_a_minute_and_one_that_never_did_is_not) {
  const command_error gone(exit_code::unavailable, "nobody answers");
  const command_error slow(exit_code::timed_out, "not in time");
  const command_error wrong(exit_code::not_found, "no such job");
  const auto start = outage::clock::now();
  outage away;
  BOOST_TEST(!away.bears(gone, start));
  BOOST_TEST(!away.is_short(start));
  away.heard(start);
  BOOST_TEST(away.bears(gone, start + 60s));
  BOOST_TEST(away.bears(slow, start + 60s));
  BOOST_TEST(!away.bears(gone, start + 61s));
  BOOST_TEST(!away.bears(wrong, start));
  BOOST_TEST(away.is_short(start + 60s));
  BOOST_TEST(!away.is_short(start + 61s));
  away.heard(start + 61s);
  BOOST_TEST(away.bears(gone, start + 121s));
}
