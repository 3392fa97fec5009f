// Failures of one address: so many at once, so many in a time, and no more addresses than the
// bound. A random play beside a plain model.
#include "http/failure_limit.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <random>

using namespace troupe::http;
using namespace std::chrono_literals;

namespace {

struct limited {
  failure_limits limits{3, 6s, 4};
  failure_limit failures{limits};
  failure_limit::clock::time_point now{1h};

  void fail(const std::string& address, int times = 1) {
    for (int i = 0; i < times; ++i)
      failures.note(address, now);
  }
  std::int64_t wait(const std::string& address) const {
    return failures.must_wait(address, now).value_or(0s).count();
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(failure_limiting, limited)

BOOST_AUTO_TEST_CASE(an_address_may_fail_so_often_and_then_once_in_a_while) {
  fail("a", 2);
  BOOST_TEST(wait("a") == 0);
  fail("a");
  BOOST_TEST(wait("a") == 6);
  BOOST_TEST(wait("b") == 0);
  now += 5500ms;
  BOOST_TEST(wait("a") == 1);
  now += 500ms;
  BOOST_TEST(wait("a") == 0);
  fail("a");
  BOOST_TEST(wait("a") == 6);
  now += 18s;
  fail("a", 2);
  BOOST_TEST(wait("a") == 0);
}

BOOST_AUTO_TEST_CASE(failures_beyond_the_limit_add_no_more_time) {
  fail("a", 1000);
  BOOST_TEST(wait("a") == 6);
}

BOOST_AUTO_TEST_CASE(addresses_are_bounded_and_the_one_that_failed_longest_ago_goes) {
  for (const auto* address : {"a", "b", "c", "d", "a", "e"})
    fail(address, 3);
  BOOST_TEST(failures.size() == 4U);
  BOOST_TEST(wait("a") == 6);
  BOOST_TEST(wait("b") == 0);
  BOOST_TEST(wait("e") == 6);
}

BOOST_AUTO_TEST_CASE(random_failures_are_allowed_as_a_bucket_allows_them) {
  const char* given = std::getenv("TROUPE_SEED");
  const auto seed = given ? static_cast<unsigned>(std::stoul(given)) : std::random_device{}();
  BOOST_TEST_CONTEXT("TROUPE_SEED=" << seed) {
    std::mt19937 random{seed};
    auto left = 18s / 1ms; // milliseconds' worth of failures, 6000 each
    for (int i = 0; i < 5000; ++i) {
      const auto passed = static_cast<std::int64_t>(random() % 9000);
      now += std::chrono::milliseconds{passed};
      left = std::min<std::int64_t>(left + passed, 18'000);
      BOOST_REQUIRE((wait("a") == 0) == (left >= 6000));
      while (wait("a") == 0 && random() % 3 != 0) {
        fail("a");
        left -= 6000;
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
