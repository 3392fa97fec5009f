// Standard error while something long goes on: a bar on a terminal, else a line a second. Made
// before the engine that may log.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace troupe::cli {

class progress_display {
public:
  progress_display();

  /// Between two calls of show().
  std::chrono::milliseconds interval() const;
  /// Either the bar of so many columns, or the line.
  void show(const std::function<std::string(int)>& bar, const std::function<std::string()>& line);
  /// A line that stays.
  void say(const std::string& line);
  void clear();

private:
  bool live_;
};

} // namespace troupe::cli
