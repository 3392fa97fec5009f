// Log lines: one event is one line in both shapes, and nothing in it can break out.
#include "launcher/log.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <fcntl.h>
#include <stdexcept>
#include <string>
#include <unistd.h>

using namespace troupe;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

constexpr log::event_time noon{1700000000123ms};

/// Standard error goes into a file while this lives.
class captured_stderr {
public:
  captured_stderr() : file_(std::tmpfile()), saved_(dup(STDERR_FILENO)) {
    dup2(fileno(file_), STDERR_FILENO);
  }
  captured_stderr(const captured_stderr&) = delete;
  captured_stderr& operator=(const captured_stderr&) = delete;
  ~captured_stderr() {
    dup2(saved_, STDERR_FILENO);
    ::close(saved_);
    std::fclose(file_);
    log::set_sink({});
  }
  std::string text() const {
    std::fflush(stderr);
    std::string all(4096, '\0');
    const auto got = pread(fileno(file_), all.data(), all.size(), 0);
    all.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return all;
  }

private:
  std::FILE* file_;
  int saved_;
};

struct without_variable {
  without_variable() { unsetenv("TROUPE_LOG"); }
  ~without_variable() {
    unsetenv("TROUPE_LOG");
    log::set_level(log::level::info);
  }
};

} // namespace

BOOST_AUTO_TEST_CASE(a_text_line_has_time_level_speaker_and_message) {
  BOOST_TEST(log::text_line(noon, log::level::warn, "pool", "3 callers wait")
             == "2023-11-14T22:13:20.123Z warn  pool: 3 callers wait");
}

BOOST_AUTO_TEST_CASE(a_json_line_is_one_object) {
  BOOST_TEST(log::json_line(noon, log::level::error, "pool", "lost \"a\\b\"")
             == R"({"time":"2023-11-14T22:13:20.123Z","level":"error","who":"pool",)"
                R"("message":"lost \"a\\b\""})");
}

BOOST_AUTO_TEST_CASE(control_characters_cannot_break_a_line_or_drive_a_terminal) {
  const std::string hostile = "a\r\nb\x1b[31mc\x07"
                              "d\x7f\xc2\x9b"
                              "e\xe2\x80\xae"
                              "f\0g"s;
  for (const auto& line : {log::text_line(noon, log::level::info, hostile, hostile),
                           log::json_line(noon, log::level::info, hostile, hostile)}) {
    for (const char c : line)
      BOOST_TEST((static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
    BOOST_TEST(line.find("\xc2\x9b") == std::string::npos);
    BOOST_TEST(line.find("\xe2\x80\xae") == std::string::npos);
    BOOST_TEST(line.find(R"(a\u000d\u000ab\u001b[31mc\u0007d\u007f\u009be\u202ef\u0000g)")
               != std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(text_in_utf8_stays_and_broken_bytes_are_replaced) {
  BOOST_TEST(
      log::json_line(noon, log::level::info, "x", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\xad")
          .find("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\xad")
      != std::string::npos);
  for (const char* broken :
       {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82"}) {
    const auto line = log::json_line(noon, log::level::info, "x", broken);
    BOOST_TEST(line.find(broken) == std::string::npos);
    BOOST_TEST(line.find("\xef\xbf\xbd") != std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(levels_have_names) {
  BOOST_TEST((log::parse_level("debug") == log::level::debug));
  BOOST_TEST((log::parse_level("off") == log::level::off));
  BOOST_TEST(!log::parse_level("verbose"));
  BOOST_TEST(!log::parse_level(""));
}

BOOST_FIXTURE_TEST_CASE(away_from_a_terminal_events_are_json_lines, without_variable) {
  const captured_stderr err;
  log::install();
  log::info("pool", "one\ntwo");
  log::debug("pool", "dropped");
  log::error("pool", "three");
  const std::string text = err.text();
  BOOST_TEST(std::count(text.begin(), text.end(), '\n') == 2);
  BOOST_TEST(text.find(R"("level":"info","who":"pool","message":"one\u000atwo"})")
             != std::string::npos);
  BOOST_TEST(text.find("dropped") == std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(the_variable_sets_the_level_and_the_option_beats_it, without_variable) {
  const captured_stderr err;
  setenv("TROUPE_LOG", "debug", 1);
  log::install();
  BOOST_TEST(log::enabled(log::level::debug));
  log::install({log::level::error, log::format::text});
  BOOST_TEST(!log::enabled(log::level::warn));
  BOOST_TEST(log::enabled(log::level::error));
  log::error("pool", "lost");
  BOOST_TEST(err.text().find("error pool: lost\n") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_wrong_level_is_refused_by_name, without_variable) {
  setenv("TROUPE_LOG", "loud", 1);
  BOOST_CHECK_EXCEPTION(log::install(), std::invalid_argument, [](const std::exception& e) {
    return std::string(e.what()).find("'loud'") != std::string::npos
           && std::string(e.what()).find("debug, info") != std::string::npos;
  });
}
