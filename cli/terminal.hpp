// The terminal that a command draws on. Nothing here knows what is drawn.
#pragma once

#include <string>
#include <vector>

namespace troupe::cli {

struct terminal_size {
  int rows = 24;
  int columns = 80;
};

/// True when standard output is a terminal that can go back to what it has drawn.
bool can_redraw();
/// Of standard output; what a terminal usually has when it does not say.
terminal_size size_of_terminal();

/// Lines on standard output that are drawn over by the next ones.
class redrawn_lines {
public:
  /// The text that goes back over the lines before, and shows these. No longer than the terminal is
  /// wide, each.
  std::string show(const std::vector<std::string>& lines);

private:
  std::size_t shown_ = 0;
};

} // namespace troupe::cli
