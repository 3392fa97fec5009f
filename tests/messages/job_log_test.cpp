// What a run says, before anybody stores it: the levels, and how a run reaches its listener.
#include "messages/handler.hpp"
#include "messages/job_log.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;

namespace {

struct hearing : run_listener {
  void progress(std::optional<double> percent, std::string_view message) override {
    said.push_back((percent ? std::to_string(static_cast<int>(*percent)) : "?") + " "
                   + std::string{message});
  }
  void log(line_level level, std::string_view text) override {
    said.push_back(std::string{to_string(level)} + " " + std::string{text});
  }
  std::vector<std::string> said;
};

} // namespace

BOOST_AUTO_TEST_CASE(levels_have_the_names_and_the_numbers_that_are_stored) {
  BOOST_TEST(to_string(line_level::debug) == "debug");
  BOOST_TEST(to_string(line_level::info) == "info");
  BOOST_TEST(to_string(line_level::warn) == "warn");
  BOOST_TEST(to_string(line_level::error) == "error");
  BOOST_TEST(to_string(static_cast<line_level>(9)) == "unknown");
  BOOST_TEST(static_cast<int>(line_level::debug) == 1);
  BOOST_TEST(static_cast<int>(line_level::error) == 4);
}

BOOST_AUTO_TEST_CASE(what_a_run_says_reaches_its_listener) {
  const auto listener = std::make_shared<hearing>();
  job_run run;
  run.listener = listener;
  run.progress(50, "half way");
  run.progress(std::nullopt);
  run.log("a");
  run.log("b", line_level::warn);
  BOOST_TEST(listener->said == (std::vector<std::string>{"50 half way", "? ", "info a", "warn b"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_run_without_a_listener_may_say_what_it_likes) {
  const job_run run{};
  run.progress(50, "half way");
  run.log("a");
}
