// The permits that this node holds of one limited queue: how many runs it may have at once, and how
// many it can spare. Bookkeeping without actors. The database holds at least as many for us as we
// use: more are used after it said so, fewer before it is told.
#pragma once

#include "messages/engine_requests.hpp"

#include <algorithm>
#include <limits>
#include <optional>

namespace troupe {

class held_permits {
public:
  static constexpr int unlimited = std::numeric_limits<int>::max();

  /// False until a claim says otherwise.
  bool limited() const { return held_.has_value(); }
  /// Runs at once.
  int allowed() const {
    return !held_ ? unlimited : giving_ ? std::min(held_->count, *giving_) : held_->count;
  }
  /// What the others leave us; meant for as long as they say so.
  void cap(int most) { cap_ = most; }
  int cap() const { return cap_; }

  /// A claim gave us jobs; without permits, nothing limits the queue.
  void told(const std::optional<run_permits>& now) {
    if (!now)
      *this = {};
    else if (!held_ || now->change > held_->change)
      held_ = now;
  }

  /// What to keep when some can be spared: never those in use, and all that fit under the cap while
  /// there may be `more` work than the node has at hand.
  std::optional<run_permits> surplus(int running, int at_hand, bool more) const {
    if (!held_ || giving_)
      return std::nullopt;
    const int useful = more ? held_->count : std::min(held_->count, at_hand);
    const int keep = std::min(held_->count, std::max(running, std::min(useful, cap_)));
    if (keep == held_->count && !unsure_)
      return std::nullopt;
    return run_permits{keep, held_->change};
  }
  /// They are on their way back. Until that is answered no claim may ask for more.
  void give(int keep) {
    giving_ = keep;
    unsure_ = false;
  }
  bool giving() const { return giving_.has_value(); }
  void given(run_permits now) {
    giving_.reset();
    held_ = now;
  }
  /// Nobody knows whether they arrived: we do without them, and say it again.
  void unanswered() {
    held_->count = allowed();
    giving_.reset();
    unsure_ = true;
  }

private:
  std::optional<run_permits> held_;
  std::optional<int> giving_; ///< what is kept, until it is answered
  int cap_ = unlimited;
  bool unsure_ = false;
};

} // namespace troupe
