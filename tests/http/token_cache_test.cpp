// Tokens that are remembered: not beyond their time, not beyond the bound, and never against a
// revocation.
#include "http/token_cache.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe::http;
using namespace std::chrono_literals;

namespace {

struct cached {
  token_cache_limits limits{3, 3s};
  token_cache cache{limits};
  token_cache::clock::time_point now{1h};

  void keep(const std::string& hash, std::int64_t id,
            std::optional<std::chrono::milliseconds> left = {}) {
    cache.keep(hash, {id, "ci", "viewer", {}}, left, cache.turn(), now);
  }
  std::int64_t find(const std::string& hash) {
    const auto* who = cache.find(hash, now);
    return who ? who->id : 0;
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(token_caches, cached)

BOOST_AUTO_TEST_CASE(a_token_is_remembered_for_its_time) {
  keep("a", 1);
  now += 2999ms;
  BOOST_TEST(find("a") == 1);
  BOOST_TEST(find("b") == 0);
  now += 1ms;
  BOOST_TEST(find("a") == 0);
  BOOST_TEST(cache.size() == 0U);
}

BOOST_AUTO_TEST_CASE(a_token_is_not_remembered_beyond_its_end) {
  keep("a", 1, 10ms);
  keep("b", 2, 0ms);
  BOOST_TEST(find("a") == 1);
  BOOST_TEST(find("b") == 0);
  now += 10ms;
  BOOST_TEST(find("a") == 0);
}

BOOST_AUTO_TEST_CASE(at_the_bound_the_oldest_goes) {
  keep("a", 1);
  keep("b", 2);
  keep("c", 3);
  keep("a", 1);
  keep("d", 4);
  BOOST_TEST(cache.size() == 3U);
  BOOST_TEST(find("a") == 1);
  BOOST_TEST(find("b") == 0);
  BOOST_TEST(find("c") == 3);
  BOOST_TEST(find("d") == 4);
}

BOOST_AUTO_TEST_CASE(a_revoked_token_is_forgotten_and_the_others_stay) {
  keep("a", 1);
  keep("b", 2);
  cache.forget(1);
  BOOST_TEST(find("a") == 0);
  BOOST_TEST(find("b") == 2);
  cache.forget_all();
  BOOST_TEST(find("b") == 0);
}

BOOST_AUTO_TEST_CASE(an_answer_from_before_a_revocation_is_not_remembered) {
  const auto asked = cache.turn();
  cache.forget(1);
  cache.keep("a", {1, "ci", "viewer", {}}, {}, asked, now);
  BOOST_TEST(find("a") == 0);
  const auto again = cache.turn();
  cache.forget_all();
  cache.keep("a", {1, "ci", "viewer", {}}, {}, again, now);
  BOOST_TEST(find("a") == 0);
}

BOOST_AUTO_TEST_SUITE_END()
