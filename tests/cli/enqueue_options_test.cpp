// What `troupe enqueue` takes about unique jobs and keys, and what does not go together.
#include "cli/options.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::cli;

namespace {

invocation good(std::vector<std::string> arguments) {
  auto parsed = parse(std::move(arguments));
  if (const auto* refused = std::get_if<refusal>(&parsed))
    BOOST_FAIL(refused->text);
  return std::get<invocation>(std::move(parsed));
}

} // namespace

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
