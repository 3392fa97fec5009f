#include "cli/progress_display.hpp"

#include "cli/commands.hpp"
#include "cli/progress_bar.hpp"
#include "cli/signals.hpp"
#include "launcher/log.hpp"

#include <cstdio>

namespace troupe::cli {

namespace {

using namespace std::chrono_literals;

constexpr auto bar_interval = 500ms;
constexpr auto line_interval = 1000ms;

void write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
}

} // namespace

progress_display::progress_display() : live_(terminal_width() > 0) {
  if (live_) // an event must not be written behind the bar
    log::set_sink([](log::level of, std::string_view who, std::string_view text) {
      const auto now =
          std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
      write("\r\x1b[K" + log::text_line(now, of, who, text) + "\n");
    });
}

std::chrono::milliseconds progress_display::interval() const {
  return live_ ? bar_interval : line_interval;
}

void progress_display::show(const std::function<std::string(int)>& bar,
                            const std::function<std::string()>& line) {
  if (!live_)
    return tell(line());
  write("\r" + bar(terminal_width() - 1) + "\x1b[K");
  empty_line_on_interrupt(true);
}

void progress_display::say(const std::string& line) {
  clear();
  tell(line);
}

void progress_display::clear() {
  if (!live_)
    return;
  write("\r\x1b[K");
  empty_line_on_interrupt(false);
}

} // namespace troupe::cli
