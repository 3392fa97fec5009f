// How long to wait before the next try. Pure: the caller brings the randomness.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace troupe {

struct backoff {
  std::chrono::milliseconds base{1000};
  std::chrono::milliseconds cap{std::chrono::hours{6}};

  /// Before try number `attempt` + 1, after `attempt` (from 1) has failed: base doubled each time
  /// up to cap, then spread evenly over 75% to 125% so that what failed together does not return
  /// together. `random` is any uniform number.
  std::chrono::milliseconds after(int attempt, std::uint32_t random) const {
    const int doublings = std::clamp(attempt - 1, 0, 40);
    auto delay = base;
    for (int i = 0; i < doublings && delay < cap; ++i)
      delay *= 2;
    delay = std::min(delay, cap);
    const auto spread = delay.count() / 2;
    return delay - delay / 4
           + std::chrono::milliseconds{spread > 0 ? static_cast<std::int64_t>(
                                           random % (static_cast<std::uint64_t>(spread) + 1))
                                                  : 0};
  }
};

} // namespace troupe
