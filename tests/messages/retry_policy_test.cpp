// How long to wait before the next try, by every policy.
#include "messages/retry_policy.hpp"
#include "tests/support/printing.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(backoff_doubles_up_to_its_cap_and_spreads_by_a_quarter) {
  const backoff pause{1000ms, 60s};
  for (int attempt = 1; attempt <= 2000; ++attempt) {
    const auto middle = std::min<std::int64_t>(60'000, 1000LL << std::min(attempt - 1, 20));
    for (const std::uint32_t random : {0U, 1U, 12'345'678U, 0xffffffffU}) {
      const auto delay = pause.after(attempt, random).count();
      BOOST_REQUIRE(delay >= middle - middle / 4);
      BOOST_REQUIRE(delay <= middle + middle / 4);
    }
  }
  BOOST_TEST(pause.after(1, 0).count() == 750);
  BOOST_TEST(pause.after(1, 500).count() == 1250);
  BOOST_TEST((pause.after(-7, 0) == pause.after(1, 0)));
  const backoff none{0ms, 0ms};
  BOOST_TEST(none.after(9, 77).count() == 0);
  const backoff wide{1ms, std::chrono::milliseconds::max() / 4};
  BOOST_TEST(wide.after(1000, 0).count() > 0);
}

BOOST_AUTO_TEST_CASE(the_usual_policy_is_exponential) {
  const retry_policy usual;
  BOOST_TEST((usual.after(1, 0) == backoff{}.after(1, 0)));
  BOOST_TEST((usual.after(40, 7) == backoff{}.after(40, 7)));
  const auto own = retry_policy::exponential({10ms, 20ms});
  BOOST_TEST((own.after(9, 0) == 15ms));
}

BOOST_AUTO_TEST_CASE(a_fixed_pause_is_always_the_same) {
  const auto pause = retry_policy::fixed(250ms);
  for (const int attempt : {1, 2, 1000})
    BOOST_TEST((pause.after(attempt, 12345U * static_cast<unsigned>(attempt)) == 250ms));
}

BOOST_AUTO_TEST_CASE(a_list_is_followed_and_its_last_pause_repeated) {
  const auto pauses = retry_policy::list({0ms, 5s, 1min});
  BOOST_TEST((pauses.after(1, 9) == 0ms));
  BOOST_TEST((pauses.after(2, 9) == 5s));
  BOOST_TEST((pauses.after(3, 9) == 1min));
  BOOST_TEST((pauses.after(1000, 9) == 1min));
  BOOST_TEST((pauses.after(-3, 9) == 0ms));
}

BOOST_AUTO_TEST_CASE(a_jitter_of_its_own_spreads_so_far_and_none_not_at_all) {
  const backoff exact{1000ms, 60s, 0};
  for (const std::uint32_t random : {0U, 1U, 0xffffffffU})
    BOOST_TEST((exact.after(3, random) == 4s));
  const backoff wide{1000ms, 60s, 100};
  BOOST_TEST((wide.after(1, 0) == 0ms));
  BOOST_TEST((wide.after(1, 2000) == 2s));
  BOOST_TEST((wide.after(1, 2001) == 0ms));
}

BOOST_AUTO_TEST_CASE(a_policy_is_said_in_json) {
  BOOST_TEST(to_json(retry_policy{})
             == R"({"policy":"exponential","base_ms":1000,"max_ms":21600000,"jitter_percent":25})");
  BOOST_TEST(to_json(retry_policy::fixed(5s)) == R"({"policy":"fixed","delay_ms":5000})");
  BOOST_TEST(to_json(retry_policy::list({0s, 1s})) == R"({"policy":"list","delays_ms":[0,1000]})");
  BOOST_TEST(to_json(retry_policy::none()) == R"({"policy":"none"})");
}

BOOST_AUTO_TEST_CASE(without_retries_no_attempt_follows) {
  BOOST_TEST(!retry_policy::none().after(1, 0).has_value());
  BOOST_TEST(!retry_policy::list({}).after(1, 0).has_value());
}
