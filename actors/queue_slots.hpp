// How much of one queue this node may hold: the arithmetic of slots and prefetch, without actors.
// Slots bound what runs; prefetch bounds what is claimed ahead, so that short jobs come in large
// batches and long ones stay claimable by other nodes.
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>

namespace troupe {

class queue_slots {
public:
  /// Claimed ahead at most, however short the jobs are and whatever the node was told.
  static constexpr int max_prefetch = 4000;
  /// Prefetch covers this much work of all slots together.
  static constexpr std::chrono::microseconds horizon{50'000};

  /// Claims no more than `most` ahead, 0 to max_prefetch.
  explicit queue_slots(int slots, int most = max_prefetch)
      : slots_(slots), most_(std::clamp(most, 0, max_prefetch)) {}

  int slots() const { return slots_; }

  /// Jobs worth claiming ahead: what the slots finish within the horizon.
  int prefetch() const { return prefetch(slots_); }

  /// How many to claim when `held` are running, waiting here or not yet written. Zero until a
  /// quarter of the capacity is free: one large claim costs what a small one costs. In a limited
  /// queue `allowed` may run now, and this node asks for up to `cap`.
  int claim_limit(int held, int allowed = std::numeric_limits<int>::max(),
                  int cap = std::numeric_limits<int>::max()) const {
    const int now = capacity(std::min({slots_, cap, allowed > 0 ? allowed : slots_}));
    return now - held >= std::max(1, now / 4) ? capacity(std::min(slots_, cap)) - held : 0;
  }

  /// The same while `unwritten` outcomes are on their way to the database: as many as the capacity
  /// hold up no claim, so that claims and outcomes are under way at the same time.
  int claim_limit_beside(int at_hand, int unwritten) const {
    return claim_limit(at_hand + std::max(0, unwritten - capacity(slots_)));
  }

  /// What has a rate starts as it is claimed: nothing ahead of it.
  int claim_at_once(int held, int allowed, int cap) const {
    return std::max(0, std::min({slots_, cap, allowed > 0 ? allowed : slots_}) - held);
  }

  /// A run took this long; the mean forgets with a half-life of about twenty runs.
  void ran(std::chrono::steady_clock::duration took) {
    const auto us =
        static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
    mean_us_ += (us - mean_us_) / 30.0;
  }

private:
  int prefetch(int slots) const {
    const auto mean = std::max<double>(1.0, mean_us_);
    const double ahead = slots * static_cast<double>(horizon.count()) / mean;
    return static_cast<int>(std::clamp<double>(ahead, 0.0, most_));
  }
  int capacity(int slots) const { return slots + prefetch(slots); }

  int slots_;
  int most_;
  double mean_us_ = 10'000.0; ///< before anything ran: short enough for a useful first batch
};

} // namespace troupe
