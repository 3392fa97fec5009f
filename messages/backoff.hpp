// How long to wait before the next try. Pure: the caller brings the randomness.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace troupe {

struct backoff {
  std::chrono::milliseconds base{1000};
  std::chrono::milliseconds cap{std::chrono::hours{6}};
  int jitter_percent = 25; ///< 0 to 100

  friend bool operator==(const backoff&, const backoff&) = default;

  /// Before try number `attempt` + 1, after `attempt` (from 1) has failed: base doubled each time
  /// up to cap, then spread evenly over so many percent to both sides, so that what failed together
  /// does not return together. `random` is any uniform number. As troupe.retry_pause.
  std::chrono::milliseconds after(int attempt, std::uint32_t random) const {
    const int doublings = std::clamp(attempt - 1, 0, 40);
    auto delay = base;
    for (int i = 0; i < doublings && delay < cap; ++i)
      delay *= 2;
    delay = std::min(delay, cap);
    const auto spread = static_cast<std::uint64_t>(part(delay, 50));
    return delay
           - std::chrono::milliseconds{part(delay, 100)
                                       - static_cast<std::int64_t>(random % (spread + 1))};
  }

private:
  /// jitter_percent of `of` / `parts`, rounded down; without its product, which may not fit.
  std::int64_t part(std::chrono::milliseconds of, std::int64_t parts) const {
    return of.count() / parts * jitter_percent + of.count() % parts * jitter_percent / parts;
  }
};

} // namespace troupe
