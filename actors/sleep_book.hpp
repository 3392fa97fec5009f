// On which queues this node sleeps: when PostgreSQL is to be asked what, and what it said. Without
// actors. While it sleeps on a queue, who enqueues there notifies, which costs him; so the node is
// awake where it has work all the time. Bound: max_queues, those that were idle last; in others new
// work is noticed with the heartbeat.
#pragma once

#include "db/wakes.hpp"
#include "messages/backoff.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

class sleep_book {
public:
  using time_point = std::chrono::steady_clock::time_point;

  static constexpr std::size_t max_queues = 128;
  /// Told of work for so long without being idle in between: it need not be told.
  static constexpr std::chrono::milliseconds busy_after{200};
  /// Before it looks again at what it may not take, or was told of in vain.
  static constexpr std::chrono::milliseconds look_again{1000};
  /// While a writer is open that has not seen us.
  static constexpr backoff uneasy_pause{std::chrono::milliseconds{5},
                                        std::chrono::milliseconds{1000}};

  /// A claim found nothing in this queue; `fruitful`: one has given jobs since the last time.
  void idle(const std::string& queue, bool fruitful, time_point now) {
    auto found = queues_.find(queue);
    if (found == queues_.end()) {
      if (queues_.size() >= max_queues && !forget_oldest())
        return;
      found = queues_.emplace(queue, entry{.due = now}).first;
    }
    auto& one = found->second;
    one.idle_at = now;
    one.told_at.reset();
    if (one.asleep ? one.told && now - one.looked_at >= look_again : fruitful)
      one.due = now;
  }

  /// Somebody has notified that there is work.
  void told(const std::string& queue, time_point now) {
    const auto found = queues_.find(queue);
    if (found == queues_.end() || !found->second.asleep)
      return;
    auto& one = found->second;
    one.told = true;
    if (!one.told_at) {
      one.told_at = now;
    } else if (now - *one.told_at >= busy_after && !one.asked) {
      awake_.push_back(queue);
      queues_.erase(found);
    }
  }

  /// What to ask now; one request at a time.
  db::sleep_request next(time_point now) {
    db::sleep_request ask;
    for (auto& [queue, one] : queues_)
      if (one.due && *one.due <= now) {
        one.due.reset();
        one.asked = true;
        one.told = false;
        one.looked_at = now;
        (one.asleep ? ask.again : ask.sleep).push_back(queue);
      }
    ask.awake.swap(awake_);
    return ask;
  }

  /// The answer to next(); gives the queues that have work.
  template<class Random>
  std::vector<std::string> answered(const std::vector<db::slept>& said, time_point now,
                                    Random& random) {
    std::vector<std::string> work;
    for (const auto& [queue, state] : said) {
      auto& one = queues_.at(queue);
      one.asked = false;
      one.asleep = state == db::sleep_state::asleep || state == db::sleep_state::uneasy;
      if (state == db::sleep_state::uneasy) {
        one.due = now + uneasy_pause.after(++one.tries, static_cast<std::uint32_t>(random()));
        continue;
      }
      one.tries = 0;
      if (state == db::sleep_state::work)
        work.push_back(queue);
      if (!one.asleep && !one.due)
        one.due = now + look_again;
    }
    return work;
  }

  /// When next() has something to ask; none: not before something happens.
  std::optional<time_point> due(time_point now) const {
    std::optional<time_point> first;
    if (!awake_.empty())
      first = now;
    for (const auto& [queue, one] : queues_)
      if (one.due && (!first || *one.due < *first))
        first = one.due;
    return first;
  }

  bool sleeps_on(const std::string& queue) const {
    const auto found = queues_.find(queue);
    return found != queues_.end() && found->second.asleep;
  }
  std::size_t size() const { return queues_.size(); }
  /// The session is gone, and its locks with it.
  void clear() { *this = {}; }

private:
  struct entry {
    bool asleep = false;
    bool asked = false; ///< in a request on its way
    bool told = false;  ///< since it was looked at
    int tries = 0;      ///< in a row, in which a writer was in the way
    std::optional<time_point> due = {};
    std::optional<time_point> told_at = {}; ///< the first time since it was idle
    time_point looked_at = {};
    time_point idle_at = {};
  };

  bool forget_oldest() {
    auto oldest = queues_.end();
    for (auto each = queues_.begin(); each != queues_.end(); ++each)
      if (!each->second.asked
          && (oldest == queues_.end() || each->second.idle_at < oldest->second.idle_at))
        oldest = each;
    if (oldest == queues_.end())
      return false;
    if (oldest->second.asleep)
      awake_.push_back(oldest->first);
    queues_.erase(oldest);
    return true;
  }

  std::map<std::string, entry> queues_;
  std::vector<std::string> awake_;
};

} // namespace troupe
