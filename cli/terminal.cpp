#include "cli/terminal.hpp"

#include <cstdlib>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>

namespace troupe::cli {

bool can_redraw() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) != 0 && term != nullptr && *term != '\0'
         && std::string_view{term} != "dumb";
}

terminal_size size_of_terminal() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
    return {};
  return {size.ws_row, size.ws_col};
}

std::string redrawn_lines::show(const std::vector<std::string>& lines) {
  std::string out;
  if (shown_ > 0)
    out = "\x1b[" + std::to_string(shown_) + "F\x1b[J";
  for (const auto& line : lines)
    out += line + "\n";
  shown_ = lines.size();
  return out;
}

} // namespace troupe::cli
