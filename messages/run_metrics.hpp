// What a node's runs came to, by queue and kind: written by EXECUTOR alone, batch by batch, read by
// /metrics on any thread. Relaxed atomics, as in counters.hpp; series are added and never removed.
#pragma once

#include "messages/database_metrics.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace troupe {

/// How one run ended, at the moment when that was stored.
enum class run_end : std::uint8_t { completed, retried, discarded, snoozed, cancelled, fenced };
inline constexpr std::array<std::string_view, 6> run_ends{"completed", "retried",   "discarded",
                                                          "snoozed",   "cancelled", "fenced"};

/// Seconds of runs, from a millisecond to an hour.
using run_histogram = duration_histogram<1'000, 5'000, 25'000, 100'000, 250'000, 500'000, 1'000'000,
                                         2'500'000, 5'000'000, 10'000'000, 30'000'000, 60'000'000,
                                         300'000'000, 900'000'000, 3'600'000'000>;

struct run_series {
  run_series(std::string_view of_queue, std::string_view of_kind)
      : queue(of_queue), kind(of_kind) {}
  const std::string queue;
  const std::string kind;
  std::array<std::atomic<std::uint64_t>, run_ends.size()> ends{};
  run_histogram took;

  void ended(run_end how, std::chrono::nanoseconds duration) {
    ends[static_cast<std::size_t>(how)].fetch_add(1, std::memory_order_relaxed);
    took.record(duration);
  }
};

class run_metrics {
public:
  /// Pairs of queue and kind that are counted by themselves. Beyond them a queue's runs count under
  /// the kind "other", as far as there are max_others such queues; the rest under queue "other".
  static constexpr std::size_t max_pairs = 200;
  static constexpr std::size_t max_others = 100;

  /// Of one thread at a time. The reference stays.
  run_series& of(std::string_view queue, std::string_view kind) {
    if (last_ != nullptr && last_->queue == queue && last_->kind == kind)
      return *last_;
    auto* found = find(queue, kind);
    if (found == nullptr && pairs_ < max_pairs) {
      ++pairs_;
      found = &add(queue, kind);
    }
    if (found != nullptr) {
      last_ = found;
      return *found;
    }
    found = find(queue, other);
    if (found == nullptr && size() - pairs_ < max_others)
      found = &add(queue, other);
    if (found == nullptr)
      found = find(other, other);
    return found != nullptr ? *found : add(other, other);
  }

  // From any thread.
  std::size_t size() const { return size_.load(std::memory_order_acquire); }
  const run_series& operator[](std::size_t i) const {
    return *series_[i].load(std::memory_order_acquire);
  }

  run_metrics() = default;
  run_metrics(const run_metrics&) = delete;
  run_metrics& operator=(const run_metrics&) = delete;
  ~run_metrics() {
    for (auto& each : series_)
      delete each.load();
  }

private:
  static constexpr std::string_view other{"other"};

  run_series* find(std::string_view queue, std::string_view kind) const {
    const auto found = by_name_.find({queue, kind});
    return found != by_name_.end() ? found->second : nullptr;
  }
  run_series& add(std::string_view queue, std::string_view kind) {
    auto made = std::make_unique<run_series>(queue, kind);
    auto& series = *made;
    by_name_.emplace(std::pair<std::string_view, std::string_view>{series.queue, series.kind},
                     &series);
    const auto at = size_.load(std::memory_order_relaxed);
    series_[at].store(made.release(), std::memory_order_release);
    size_.store(at + 1, std::memory_order_release);
    return series;
  }

  std::array<std::atomic<run_series*>, max_pairs + max_others + 1> series_{};
  std::atomic<std::size_t> size_{0};
  // The writer's own.
  std::map<std::pair<std::string_view, std::string_view>, run_series*> by_name_;
  run_series* last_ = nullptr;
  std::size_t pairs_ = 0;
};

} // namespace troupe
