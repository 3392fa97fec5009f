// The kinds for trying Troupe.
#include "handlers/testing.hpp"
#include "tests/handlers/runs.hpp"
#include "tests/support/poll_loop.hpp"

#include <boost/test/unit_test.hpp>

namespace {

using namespace troupe;
using namespace troupe::tests;
using verdict = job_result::verdict;

struct bench {
  bench() { add_test_kinds(kinds, loop); }
  job_result run(const char* kind, const char* args, int attempt = 1) {
    return one_run(kind, args, 1, attempt).start(kinds).result();
  }
  handler_table kinds;
  poll_loop loop;
};

} // namespace

BOOST_AUTO_TEST_CASE(noop_completes_and_echo_gives_its_args_back) {
  bench b;
  BOOST_TEST((b.run("noop", "{}").kind == verdict::completed));
  BOOST_TEST(b.run("echo", R"({"a":[1,2]})").result == R"({"a":[1,2]})");
}

BOOST_AUTO_TEST_CASE(sleep_completes_after_its_time) {
  bench b;
  const auto before = std::chrono::steady_clock::now();
  const auto r = b.run("sleep", R"({"ms":30})");
  BOOST_TEST((r.kind == verdict::completed));
  BOOST_TEST(r.result == R"({"slept_ms":30})");
  BOOST_TEST((std::chrono::steady_clock::now() - before >= std::chrono::milliseconds{30}));
}

BOOST_AUTO_TEST_CASE(a_thousand_sleep_at_once_on_one_thread_and_a_stop_wakes_them) {
  bench b;
  std::vector<std::unique_ptr<one_run>> runs;
  for (int i = 0; i < 1000; ++i) {
    runs.push_back(std::make_unique<one_run>("sleep", R"({"ms":86400000})"));
    runs.back()->start(b.kinds);
  }
  for (auto& run : runs)
    run->stop();
  for (auto& run : runs) {
    const auto r = run->result();
    BOOST_TEST((r.kind == verdict::failed));
    BOOST_TEST(r.error == "stopped while asleep");
  }
}

BOOST_AUTO_TEST_CASE(fail_fails_the_asked_number_of_times) {
  bench b;
  const auto* args = R"({"times":2,"message":"no luck"})";
  BOOST_TEST(b.run("fail", args, 1).error == "no luck");
  BOOST_TEST((b.run("fail", args, 2).kind == verdict::failed));
  BOOST_TEST((b.run("fail", args, 3).kind == verdict::completed));
  BOOST_TEST((b.run("fail", "{}", 1).kind == verdict::failed));
}

BOOST_AUTO_TEST_CASE(wrong_args_are_discarded) {
  bench b;
  for (const auto* args : {"", "{}", R"({"ms":-1})", R"({"ms":1e3})", R"({"ms":"1"})",
                           R"({"ms":1,"x":2})", R"({"ms":99999999999})"})
    BOOST_TEST((b.run("sleep", args).kind == verdict::discarded), args);
  BOOST_TEST((b.run("fail", R"({"times":-1})").kind == verdict::discarded));
}
