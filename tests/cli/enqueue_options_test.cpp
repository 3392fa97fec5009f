// What `troupe enqueue` takes about unique jobs and keys, and what does not go together.
#include "cli/enqueue_options.hpp"
#include "cli/options.hpp"
#include "tests/cli/parsed.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::cli;
using namespace troupe::tests;

BOOST_AUTO_TEST_CASE(a_delay_is_told_as_people_say_it) {
  for (const auto& [time, ms] :
       {std::pair{"90", 90'000}, std::pair{"250ms", 250}, std::pair{"1.5h", 5'400'000}})
    BOOST_TEST(*good({"enqueue", "echo", "--delay", time}).enqueue.delay_ms == ms, time);
}

BOOST_AUTO_TEST_CASE(what_does_not_go_together_is_refused_with_advice) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"enqueue", "echo", "--unique", "color"},
           {"enqueue", "echo", "--unique", "args."},
           {"enqueue", "echo", "--unique", "args", "--unique", "args.a"},
           {"enqueue", "echo", "--on-conflict", "reject"},
           {"enqueue", "echo", "--unique-state", "running"},
           {"enqueue", "echo", "--unique-period-ms", "5"},
           {"enqueue", "echo", "--unique", "kind", "--on-conflict", "ignore"},
           {"enqueue", "echo", "--unique", "kind", "--unique-state", "done"},
           {"enqueue", "echo", "--retry", "often"},
           {"enqueue", "echo", "--retry", "fixed"},
           {"enqueue", "echo", "--retry", "fixed:soon"},
           {"enqueue", "echo", "--retry", "fixed:5s,6s"},
           {"enqueue", "echo", "--retry", "list:1s,"},
           {"enqueue", "echo", "--retry", "none:1s"},
           {"enqueue", "echo", "--retry", "exponential:2s..1s"},
           {"enqueue", "echo", "--retry", "fixed:1s", "--retry-jitter", "5"},
           {"enqueue", "echo", "--retry", "exponential", "--retry-jitter", "101"},
           {"enqueue", "echo", "--retry-jitter", "5"},
           {"enqueue", "echo", "--delay", "soon"},
           {"enqueue", "echo", "--delay", "-1s"},
           {"enqueue", "echo", "--delay", "1s", "--delay-ms", "1000"},
           {"enqueue", "echo", "--delay", "1s", "--run-at", "2030-01-31T08:00:00Z"},
           {"enqueue", "echo", "--idempotency-key", ""}}) {
    const auto parsed = parse(arguments);
    const auto* refused = std::get_if<refusal>(&parsed);
    BOOST_REQUIRE_MESSAGE(refused != nullptr, arguments.back());
    BOOST_TEST(static_cast<int>(refused->code) == 2);
    BOOST_TEST(refused->text.find("--help") != std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(a_unique_job_and_a_requests_key_are_read) {
  const auto job =
      good({"enqueue", "echo", "--unique", "queue", "--unique", "args.a", "--unique", "args.b",
            "--unique-period-ms", "60000", "--unique-state", "running", "--unique-state",
            "completed", "--on-conflict", "replace", "--idempotency-key", "k 1"})
          .enqueue;
  BOOST_TEST((job.unique == std::vector<std::string>{"queue", "args.a", "args.b"}));
  BOOST_TEST(*job.unique_period_ms == 60'000);
  BOOST_TEST((job.unique_states == std::vector<std::string>{"running", "completed"}));
  BOOST_TEST(*job.on_conflict == "replace");
  BOOST_TEST(*job.idempotency_key == "k 1");
}

BOOST_AUTO_TEST_CASE(a_retry_policy_is_read) {
  using namespace std::chrono_literals;
  const auto policy = [](std::vector<std::string> options) {
    std::vector<std::string> all{"enqueue", "echo"};
    all.insert(all.end(), options.begin(), options.end());
    return retry_of(good(std::move(all)).enqueue);
  };
  BOOST_TEST(!policy({}).has_value());
  BOOST_TEST((policy({"--retry", "exponential"}) == retry_policy{}));
  BOOST_TEST((policy({"--retry", "exponential:2s"}) == retry_policy::exponential({2s, 6h})));
  BOOST_TEST((policy({"--retry", "exponential:250ms..1h", "--retry-jitter", "0"})
              == retry_policy::exponential({250ms, 1h, 0})));
  BOOST_TEST((policy({"--retry", "exponential:..1h"}) == retry_policy::exponential({1s, 1h})));
  BOOST_TEST((policy({"--retry", "fixed:5s"}) == retry_policy::fixed(5s)));
  BOOST_TEST((policy({"--retry", "list:0,1s,5min"}) == retry_policy::list({0s, 1s, 5min})));
  BOOST_TEST((policy({"--retry", "none"}) == retry_policy::none()));
}
