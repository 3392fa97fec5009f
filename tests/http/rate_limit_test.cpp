// What one caller may do: so often at once, so often in a time, and no more callers remembered than
// the bound. A random play beside a plain model.
#include "http/rate_limit.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <random>

using namespace troupe::http;
using namespace std::chrono_literals;

namespace {

struct limited {
  rate_limits limits{3, 6s, 4};
  rate_limit uses{limits};
  rate_limit::clock::time_point now{1h};

  void use(const std::string& caller, int times = 1) {
    for (int i = 0; i < times; ++i)
      uses.note(caller, now);
  }
  std::int64_t wait(const std::string& caller) const {
    return uses.must_wait(caller, now).value_or(0s).count();
  }
  int left(const std::string& caller) const { return uses.allowance_of(caller, now).left; }
  std::string fields() const { return rate_fields(limits, uses.allowance_of("a", now)); }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(rate_limiting, limited)

BOOST_AUTO_TEST_CASE(a_caller_may_do_it_so_often_and_then_once_in_a_while) {
  use("a", 2);
  BOOST_TEST(wait("a") == 0);
  use("a");
  BOOST_TEST(wait("a") == 6);
  BOOST_TEST(wait("b") == 0);
  now += 5500ms;
  BOOST_TEST(wait("a") == 1);
  now += 500ms;
  BOOST_TEST(wait("a") == 0);
  use("a");
  BOOST_TEST(wait("a") == 6);
  now += 18s;
  use("a", 2);
  BOOST_TEST(wait("a") == 0);
}

BOOST_AUTO_TEST_CASE(what_is_left_is_told_in_the_fields_of_the_draft) {
  BOOST_TEST(fields()
             == "RateLimit-Policy: \"caller\";q=3;w=18\r\nRateLimit: \"caller\";r=3;t=0\r\n");
  use("a");
  BOOST_TEST(left("a") == 2);
  BOOST_TEST(fields().ends_with("r=2;t=6\r\n"));
  now += 500ms;
  BOOST_TEST(fields().ends_with("r=2;t=6\r\n"));
  use("a", 2);
  BOOST_TEST(fields().ends_with("r=0;t=18\r\n"));
  const rate_limits quick{100, 10ms, 1};
  BOOST_TEST(
      rate_fields(quick, {100, 0s}).starts_with("RateLimit-Policy: \"caller\";q=100;w=1\r\n"));
}

BOOST_AUTO_TEST_CASE(uses_beyond_the_limit_add_no_more_time) {
  use("a", 1000);
  BOOST_TEST(wait("a") == 6);
}

BOOST_AUTO_TEST_CASE(callers_are_bounded_and_the_one_that_did_it_longest_ago_goes) {
  for (const auto* caller : {"a", "b", "c", "d", "a", "e"})
    use(caller, 3);
  BOOST_TEST(uses.size() == 4U);
  BOOST_TEST(wait("a") == 6);
  BOOST_TEST(wait("b") == 0);
  BOOST_TEST(wait("e") == 6);
}

BOOST_AUTO_TEST_CASE(random_uses_are_allowed_as_a_bucket_allows_them) {
  const char* given = std::getenv("TROUPE_SEED");
  const auto seed = given ? static_cast<unsigned>(std::stoul(given)) : std::random_device{}();
  BOOST_TEST_CONTEXT("TROUPE_SEED=" << seed) {
    std::mt19937 random{seed};
    auto owns = 18s / 1ms; // milliseconds' worth of uses, 6000 each
    for (int i = 0; i < 5000; ++i) {
      const auto passed = static_cast<std::int64_t>(random() % 9000);
      now += std::chrono::milliseconds{passed};
      owns = std::min<std::int64_t>(owns + passed, 18'000);
      BOOST_REQUIRE((wait("a") == 0) == (owns >= 6000));
      BOOST_REQUIRE(left("a") == owns / 6000);
      while (wait("a") == 0 && random() % 3 != 0) {
        use("a");
        owns -= 6000;
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(who_has_many_addresses_is_one_caller) {
  BOOST_TEST(caller_of("192.0.2.7") == "192.0.2.7");
  BOOST_TEST(caller_of("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64");
  BOOST_TEST(caller_of("2001:db8:1:2::9") == "2001:db8:1:2::/64");
  BOOST_TEST(caller_of("2001:db8:1:3::9") == "2001:db8:1:3::/64");
  BOOST_TEST(caller_of("::ffff:192.0.2.7") == "::ffff:192.0.2.7");
  BOOST_TEST(caller_of("::1") == "::1");
  BOOST_TEST(caller_of("unix:uid=0") == "unix:uid=0");
}

BOOST_AUTO_TEST_SUITE_END()
