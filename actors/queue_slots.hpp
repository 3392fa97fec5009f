// How much of one queue this node may hold: the arithmetic of slots and prefetch, without actors.
// Slots bound what runs; prefetch bounds what is claimed ahead, so that short jobs come in large
// batches and long ones stay claimable by other nodes.
#pragma once

#include <algorithm>
#include <chrono>

namespace troupe {

class queue_slots {
public:
  /// Claimed ahead at most, however short the jobs are.
  static constexpr int max_prefetch = 4000;
  /// Prefetch covers this much work of all slots together.
  static constexpr std::chrono::microseconds horizon{50'000};

  explicit queue_slots(int slots) : slots_(slots) {}

  int slots() const { return slots_; }

  /// Jobs worth claiming ahead: what the slots finish within the horizon.
  int prefetch() const {
    const auto mean = std::max<double>(1.0, mean_us_);
    const double ahead = slots_ * static_cast<double>(horizon.count()) / mean;
    return static_cast<int>(std::clamp<double>(ahead, 0.0, max_prefetch));
  }

  /// How many to claim when `held` are running, waiting here or not yet written. Zero until a
  /// quarter of the capacity is free: one large claim costs what a small one costs.
  int claim_limit(int held) const {
    const int capacity = slots_ + prefetch();
    const int room = capacity - held;
    return room >= std::max(1, capacity / 4) ? room : 0;
  }

  /// A run took this long; the mean forgets with a half-life of about twenty runs.
  void ran(std::chrono::steady_clock::duration took) {
    const auto us =
        static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
    mean_us_ += (us - mean_us_) / 30.0;
  }

private:
  int slots_;
  double mean_us_ = 10'000.0; ///< before anything ran: short enough for a useful first batch
};

} // namespace troupe
