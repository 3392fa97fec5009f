// What a run may say, and what arrives of it: LOGBOOK is played by an actor that keeps what it
// gets.
#include "actors/run_reporter.hpp"
#include "tests/actors/deterministic_system.hpp"

#include <limits>

using namespace troupe;
using namespace troupe::tests;

namespace {

struct reporting : deterministic_system {
  struct heard {
    std::vector<told_line> lines;
    std::vector<run_reporter_ptr> progress;
  };
  std::shared_ptr<heard> got = std::make_shared<heard>();
  logbook_actor logbook =
      spawn([kept = got](logbook_actor::pointer) -> logbook_actor::behavior_type {
        return {[=](const told_line& line) { kept->lines.push_back(line); },
                [=](const run_reporter_ptr& run) { kept->progress.push_back(run); },
                [](drain_atom) { return true; }};
      });
  run_reporter_ptr one =
      std::make_shared<run_reporter>(run_key{lease_id{3}, job_id{1}, 2}, logbook);

  ~reporting() { got->progress.clear(); }
  told_progress last() {
    const auto word = one->take();
    BOOST_REQUIRE(word);
    return *word;
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(reporters, reporting)

BOOST_AUTO_TEST_CASE(a_line_carries_its_run_and_its_level) {
  BOOST_TEST(!one->spoke());
  one->log(line_level::error, "a");
  BOOST_TEST(one->spoke());
  run();
  BOOST_REQUIRE(got->lines.size() == 1U);
  const auto& line = got->lines[0];
  BOOST_TEST(line.text == "a");
  BOOST_TEST((line.level == line_level::error));
  BOOST_TEST(line.run.lease.value == 3);
  BOOST_TEST(line.run.job.value == 1);
  BOOST_TEST(line.run.attempt == 2);
}

BOOST_AUTO_TEST_CASE(of_its_progress_one_word_is_on_its_way_and_it_is_the_last) {
  for (int i = 0; i <= 1000; ++i)
    one->progress(i / 10.0, std::to_string(i));
  run();
  BOOST_TEST(got->progress.size() == 1U);
  BOOST_TEST(last().message == "1000");
  BOOST_TEST(!one->take());
  one->progress(1, "once more");
  run();
  BOOST_TEST(got->progress.size() == 2U);
}

BOOST_AUTO_TEST_CASE(one_attempt_says_no_more_lines_than_it_may) {
  for (std::size_t i = 0; i < limits::log_lines + 100; ++i)
    one->log(line_level::info, "x");
  run();
  BOOST_TEST(got->lines.size() == limits::log_lines + 1);
  BOOST_TEST((got->lines.back().level == line_level::warn));
  BOOST_TEST(got->lines.back().text.find("is full") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(one_attempt_says_no_more_bytes_than_it_may) {
  for (std::size_t i = 0; i < 2 * limits::log_bytes / limits::line_bytes; ++i)
    one->log(line_level::info, std::string(limits::line_bytes, 'y'));
  run();
  BOOST_TEST(got->lines.size() == limits::log_bytes / limits::line_bytes + 1);
  one->log(line_level::info, "z"); // which might fit, but the log is full once and for all
  run();
  BOOST_TEST(got->lines.size() == limits::log_bytes / limits::line_bytes + 1);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_stored_is_cut_and_cleaned) {
  one->log(line_level::info, std::string{"a\0b\xff", 4});
  one->log(line_level::info, std::string(limits::line_bytes - 1, 'x') + "\xC3\xA9");
  one->log(line_level::info, std::string(std::size_t{10} * 1024 * 1024, '\xff'));
  run();
  BOOST_REQUIRE(got->lines.size() == 3U);
  BOOST_TEST(got->lines[0].text
             == "a\xEF\xBF\xBD"
                "b\xEF\xBF\xBD");
  BOOST_TEST(got->lines[1].text == std::string(limits::line_bytes - 1, 'x'));
  BOOST_TEST(got->lines[2].text.size() <= limits::line_bytes);
  BOOST_TEST(got->lines[2].text.size() > limits::line_bytes - 4);
}

BOOST_AUTO_TEST_CASE(percents_are_held_within_their_bounds) {
  one->progress(-5, std::string(5000, 'm'));
  const auto below = last();
  BOOST_TEST(below.percent.value() == 0);
  BOOST_TEST(below.message.size() == limits::message_bytes);
  one->progress(1e300, "");
  BOOST_TEST(last().percent.value() == 100);
  one->progress(std::numeric_limits<double>::quiet_NaN(), "");
  BOOST_TEST(!last().percent);
}

BOOST_AUTO_TEST_SUITE_END()
