// How long a command waits between two looks at the server: short while something changes, longer
// and longer while nothing does.
#pragma once

#include <algorithm>
#include <chrono>

namespace troupe::cli {

class look_pause {
public:
  struct bounds {
    std::chrono::milliseconds shortest;
    std::chrono::milliseconds longest;
  };
  /// Of what goes on for as long as somebody watches.
  static constexpr bounds watching{std::chrono::milliseconds{100}, std::chrono::milliseconds{2000}};
  /// Of one end that is waited for: what is quick is told at once.
  static constexpr bounds waiting{std::chrono::milliseconds{20}, std::chrono::milliseconds{500}};

  explicit look_pause(const bounds& of) : bounds_(of) {}

  /// The pause after a look that found something new, or did not.
  std::chrono::milliseconds after(bool changed) {
    if (changed)
      next_ = bounds_.shortest;
    const auto pause = next_;
    next_ = std::min(2 * next_, bounds_.longest);
    return pause;
  }

private:
  bounds bounds_;
  std::chrono::milliseconds next_ = bounds_.shortest;
};

} // namespace troupe::cli
