#include "cli/progress_bar.hpp"

#include "cli/talk.hpp"
#include "cli/text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vector>

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

/// Behind a bar, if there is room for one: the first part, and those of the others that fit.
std::string with_bar(double share, const std::vector<std::string>& parts, int width) {
  std::string line = parts.front();
  const auto append = [&](const std::string& part) {
    if (display_width(line) + 2 + display_width(part) <= width)
      line += "  " + part;
  };
  append(std::to_string(static_cast<int>(share * 100)) + "%");
  for (std::size_t i = 1; i < parts.size(); ++i)
    append(parts[i]);
  const int room = std::min(widest_bar, width - display_width(line) - 4);
  if (room < narrowest_bar)
    return cut_to_width(line, width);
  const auto full = static_cast<std::size_t>(share * room);
  return "[" + std::string(full, '#') + std::string(static_cast<std::size_t>(room) - full, '.')
         + "] " + line;
}

std::string with_bar(std::int64_t done, std::int64_t all, std::vector<std::string> parts,
                     int width) {
  parts.front().insert(0, std::to_string(done) + "/" + std::to_string(all) + " ");
  return with_bar(
      std::clamp(all > 0 ? static_cast<double>(done) / static_cast<double>(all) : 0.0, 0.0, 1.0),
      parts, width);
}

std::string rate_text(const bench_view& view) {
  return one_decimal(view.seconds > 0 ? static_cast<double>(view.done) / view.seconds : 0) + "/s";
}

} // namespace

std::string bar_line(const crawl_view& view, int width) {
  std::vector<std::string> parts{"pages"};
  if (view.failed > 0)
    parts.push_back(std::to_string(view.failed) + " failed");
  parts.push_back(one_decimal(view.rate) + "/s");
  parts.push_back(bytes_text(view.bytes));
  parts.push_back(duration_text(view.seconds));
  return with_bar(view.fetched + view.failed, view.pages, parts, width);
}

std::string plain_line(const crawl_view& view) {
  return std::to_string(view.fetched + view.failed) + " of " + std::to_string(view.pages)
         + " pages, " + std::to_string(view.failed) + " failed, " + bytes_text(view.bytes) + ", "
         + one_decimal(view.rate) + " pages/s";
}

std::string bar_line(const bench_view& view, int width) {
  return with_bar(view.done, view.jobs,
                  {"jobs " + view.doing, rate_text(view), duration_text(view.seconds)}, width);
}

std::string plain_line(const bench_view& view) {
  return std::to_string(view.done) + " of " + std::to_string(view.jobs) + " jobs " + view.doing
         + ", " + rate_text(view);
}

std::string bar_line(const bulk_view& view, int width) {
  std::vector<std::string> parts{view.action + ": " + std::to_string(view.changed) + " changed"};
  if (view.skipped > 0)
    parts.push_back(std::to_string(view.skipped) + " passed by");
  if (view.share > 0)
    parts.push_back(duration_text(view.seconds * (1 - view.share) / view.share) + " left");
  return with_bar(std::clamp(view.share, 0.0, 1.0), parts, width);
}

int terminal_width() {
  const char* term = std::getenv("TERM");
  if (manner_in_use().quiet || manner_in_use().plain || ::isatty(STDERR_FILENO) == 0
      || term == nullptr || std::string_view{term} == "dumb")
    return 0;
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    return usual_width;
  return size.ws_col;
}

} // namespace troupe::cli
