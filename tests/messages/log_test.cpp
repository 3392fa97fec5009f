// The rooms' log: what is below the level or has no sink is dropped, the rest arrives whole, and
// the sink may change while others speak.
#include "messages/log.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

using namespace troupe;

namespace {

struct quiet {
  ~quiet() {
    log::set_sink({});
    log::set_level(log::level::info);
  }
};

} // namespace

BOOST_FIXTURE_TEST_CASE(without_a_sink_nothing_happens, quiet) {
  log::set_sink({});
  log::error("pool", "lost");
  BOOST_TEST(!log::enabled(log::level::error));
}

BOOST_FIXTURE_TEST_CASE(an_event_arrives_with_its_level_speaker_and_text, quiet) {
  std::vector<std::string> heard;
  log::set_sink([&](log::level of, std::string_view who, std::string_view text) {
    heard.push_back(std::to_string(static_cast<int>(of)) + std::string(who) + "|"
                    + std::string(text));
  });
  log::info("pool", "open");
  log::warn("pool", "slow");
  log::error("pool", "lost");
  BOOST_TEST((heard == std::vector<std::string>{"1pool|open", "2pool|slow", "3pool|lost"}));
}

BOOST_FIXTURE_TEST_CASE(events_below_the_level_are_dropped, quiet) {
  int heard = 0;
  log::set_sink([&](log::level, std::string_view, std::string_view) { ++heard; });
  log::debug("pool", "detail");
  BOOST_TEST(heard == 0);
  BOOST_TEST(!log::enabled(log::level::debug));
  log::set_level(log::level::debug);
  log::debug("pool", "detail");
  BOOST_TEST(heard == 1);
  log::set_level(log::level::off);
  log::error("pool", "lost");
  BOOST_TEST(heard == 1);
  BOOST_TEST(!log::enabled(log::level::off));
}

BOOST_FIXTURE_TEST_CASE(the_sink_may_change_while_others_speak, quiet) {
  std::atomic<int> heard{0};
  std::atomic<bool> over{false};
  std::vector<std::thread> speakers;
  for (int i = 0; i < 2; ++i) {
    speakers.emplace_back([&] {
      while (!over)
        log::info("speaker", "still here");
    });
  }
  for (int i = 0; i < 50; ++i) {
    const int before = heard;
    log::set_sink([&](log::level, std::string_view, std::string_view) { ++heard; });
    while (heard == before)
      std::this_thread::yield();
  }
  over = true;
  for (auto& speaker : speakers)
    speaker.join();
  BOOST_TEST(heard >= 50);
}
