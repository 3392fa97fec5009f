// The kind that goes wrong in every way: each way is really taken.
#include "handlers/trouble.hpp"
#include "tests/handlers/runs.hpp"

#include <boost/test/unit_test.hpp>

namespace {

using namespace troupe;
using namespace troupe::tests;
using verdict = job_result::verdict;

struct bench {
  bench() { kinds["trouble"] = make_trouble(workers); }
  job_result run(const std::string& how, int ms = 1) {
    return one_run("trouble", R"({"how":")" + how + R"(","ms":)" + std::to_string(ms) + "}")
        .start(kinds)
        .result();
  }
  handler_table kinds;
  two_workers workers;
};

} // namespace

BOOST_AUTO_TEST_CASE(answers_that_no_result_may_be_are_given_as_asked) {
  bench b;
  BOOST_TEST(b.run("huge").result.size() > 10'000'000U);
  BOOST_TEST(b.run("huge_error").error.size() > 10'000'000U);
  BOOST_TEST(b.run("nul").result.find('\0') == 2U);
  BOOST_TEST(b.run("nul_escape").result == "\"a\\u0000b\"");
  BOOST_TEST(b.run("nul_error").error.size() == 3U);
  BOOST_TEST(b.run("utf8").result.find('\xff') == 1U);
  BOOST_TEST(b.run("utf8_error").error.front() == '\xff');
  BOOST_TEST(b.run("not_json").result == "{");
  BOOST_TEST(b.run("deep").result.size() == 200'000U);
  BOOST_TEST((b.run("negative_snooze").retry_in < std::chrono::milliseconds{0}));
  BOOST_TEST(b.run("twice").result == "1");
}

BOOST_AUTO_TEST_CASE(it_throws_what_is_an_exception_and_what_is_none) {
  bench b;
  one_run thrower("trouble", R"({"how":"throw"})");
  BOOST_CHECK_THROW(thrower.start(b.kinds), std::runtime_error);
  one_run other("trouble", R"({"how":"throw_other"})");
  BOOST_CHECK_THROW(other.start(b.kinds), int);
}

BOOST_AUTO_TEST_CASE(it_blocks_and_spins_for_its_time_and_does_not_listen) {
  bench b;
  for (const auto* how : {"block", "spin"}) {
    const auto before = std::chrono::steady_clock::now();
    one_run run("trouble", R"({"ms":30,"how":")" + std::string{how} + R"("})");
    run.start(b.kinds);
    run.stop();
    BOOST_TEST((run.result().kind == verdict::completed));
    BOOST_TEST((std::chrono::steady_clock::now() - before >= std::chrono::milliseconds{30}));
  }
}

BOOST_AUTO_TEST_CASE(an_unknown_word_and_wrong_args_are_discarded) {
  bench b;
  BOOST_TEST((b.run("no_such").kind == verdict::discarded));
  BOOST_TEST((b.run("block", 60'001).kind == verdict::discarded));
}
