#include "cli/progress_bar.hpp"

#include "cli/text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>

namespace troupe::cli {

namespace {

constexpr int widest_bar = 40;
constexpr int narrowest_bar = 10;
constexpr int usual_width = 80;

std::string one_decimal(double value) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

} // namespace

std::string bar_line(const crawl_view& view, int width) {
  const auto done = view.fetched + view.failed;
  const auto share =
      view.pages > 0 ? static_cast<double>(done) / static_cast<double>(view.pages) : 0.0;
  std::string line = std::to_string(done) + "/" + std::to_string(view.pages) + " pages";
  const auto append = [&](const std::string& part) {
    if (display_width(line) + 2 + display_width(part) <= width)
      line += "  " + part;
  };
  append(std::to_string(static_cast<int>(std::clamp(share, 0.0, 1.0) * 100)) + "%");
  if (view.failed > 0)
    append(std::to_string(view.failed) + " failed");
  append(one_decimal(view.rate) + "/s");
  append(bytes_text(view.bytes));
  append(duration_text(view.seconds));
  const int room = std::min(widest_bar, width - display_width(line) - 4);
  if (room < narrowest_bar)
    return cut_to_width(line, width);
  const auto full = static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * room);
  return "[" + std::string(full, '#') + std::string(static_cast<std::size_t>(room) - full, '.')
         + "] " + line;
}

std::string plain_line(const crawl_view& view) {
  return std::to_string(view.fetched + view.failed) + " of " + std::to_string(view.pages)
         + " pages, " + std::to_string(view.failed) + " failed, " + bytes_text(view.bytes) + ", "
         + one_decimal(view.rate) + " pages/s";
}

int terminal_width() {
  const char* term = std::getenv("TERM");
  if (::isatty(STDERR_FILENO) == 0 || term == nullptr || std::string_view{term} == "dumb")
    return 0;
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    return usual_width;
  return size.ws_col;
}

} // namespace troupe::cli
