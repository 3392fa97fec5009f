// The kinds for trying Troupe.
#include "handlers/testing.hpp"
#include "tests/handlers/runs.hpp"
#include "tests/support/poll_loop.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>

namespace {

using namespace troupe;
using namespace troupe::tests;
using verdict = job_result::verdict;

struct bench {
  bench() { add_test_kinds(kinds, {loop, workers, folder.path() / "new" / "effects"}); }
  job_result run(const char* kind, const char* args, int attempt = 1) {
    return one_run(kind, args, 1, attempt).start(kinds).result();
  }
  std::vector<std::string> effects() const {
    std::ifstream file(folder.path() / "new" / "effects");
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);)
      lines.push_back(line.substr(0, line.find(' ', line.find(' ', line.find(' ') + 1) + 1)));
    return lines;
  }
  handler_table kinds;
  temp_dir folder;
  poll_loop loop;
  two_workers workers;
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

BOOST_AUTO_TEST_CASE(an_effect_leaves_a_line_at_its_begin_and_one_at_its_end) {
  bench b;
  BOOST_TEST((b.run("effect", R"({"ms":1,"note":"a","key":"b"})", 3).kind == verdict::completed));
  const std::vector<std::string> expected{"begin 1 3", "end 1 3"};
  BOOST_TEST(b.effects() == expected, boost::test_tools::per_element());
  one_run endless("effect", R"({"ms":60000})", 18);
  endless.start(b.kinds);
  endless.stop();
  BOOST_TEST((endless.result().kind == verdict::failed));
  BOOST_TEST(b.effects().back() == "stopped 18 1");
}

BOOST_AUTO_TEST_CASE(an_effect_that_cannot_leave_its_line_fails) {
  bench b;
  add_test_kinds(b.kinds, {b.loop, b.workers, "/proc/no/effects"});
  BOOST_TEST((b.run("effect", "{}").kind == verdict::failed));
}

BOOST_AUTO_TEST_CASE(wrong_args_are_discarded) {
  bench b;
  for (const auto* args : {"", "{}", R"({"ms":-1})", R"({"ms":1e3})", R"({"ms":"1"})",
                           R"({"ms":1,"x":2})", R"({"ms":99999999999})"})
    BOOST_TEST((b.run("sleep", args).kind == verdict::discarded), args);
  BOOST_TEST((b.run("fail", R"({"times":-1})").kind == verdict::discarded));
  BOOST_TEST((b.run("effect", R"({"ms":60001})").kind == verdict::discarded));
  BOOST_TEST((b.run("effect", R"({"path":"x"})").kind == verdict::discarded));
}
