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
  std::uint64_t turn = 1;

  void keep(const std::string& hash, std::int64_t id,
            std::optional<std::chrono::milliseconds> left = {}) {
    keep_from(turn, hash, id, left);
  }
  void keep_from(std::uint64_t asked, const std::string& hash, std::int64_t id,
                 std::optional<std::chrono::milliseconds> left = {}) {
    cache.keep(hash,
               std::make_shared<token_identity>(token_identity{id, "ci", troupe::role::viewer, {}}),
               left, asked, now);
  }
  std::int64_t find(const std::string& hash) const {
    const auto who = cache.find(hash, turn, now);
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
  BOOST_TEST(cache.knows("a"));
  BOOST_TEST(!cache.knows("b"));
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
  BOOST_TEST(!cache.knows("b"));
  BOOST_TEST(find("c") == 3);
  BOOST_TEST(find("d") == 4);
}

BOOST_AUTO_TEST_CASE(in_another_turn_everything_is_looked_up_again) {
  keep("a", 1);
  keep("b", 2);
  ++turn;
  BOOST_TEST(find("a") == 0);
  BOOST_TEST(find("b") == 0);
  BOOST_TEST(cache.knows("a"));
  keep("a", 1);
  BOOST_TEST(find("a") == 1);
  BOOST_TEST(find("b") == 0);
}

BOOST_AUTO_TEST_CASE(an_answer_from_before_a_revocation_does_not_hold) {
  const auto asked = turn;
  ++turn;
  keep_from(asked, "a", 1);
  BOOST_TEST(find("a") == 0);
}

BOOST_AUTO_TEST_CASE(what_is_not_live_any_more_is_not_known_either) {
  keep("a", 1);
  cache.forget("a");
  cache.forget("b");
  BOOST_TEST(find("a") == 0);
  BOOST_TEST(!cache.knows("a"));
  BOOST_TEST(cache.size() == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
