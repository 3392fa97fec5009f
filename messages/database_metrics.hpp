// What POOL, CONNECTION and UNIT OF WORK measure, read by /metrics. Relaxed atomics, each standing
// alone; written from any thread, never reset. Bounds: max_statements names, the rest counts as
// "other"; max_slots connections, what is above shares the last slot.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace troupe {

/// Durations in buckets; a bucket counts its own range only, the last one what is above all bounds.
/// `Bounds` are upper ones, in microseconds.
template<std::uint32_t... Bounds>
class duration_histogram {
public:
  static constexpr std::array<std::uint32_t, sizeof...(Bounds)> bounds_us{Bounds...};

  void record(std::chrono::nanoseconds took) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
    const auto at = std::lower_bound(bounds_us.begin(), bounds_us.end(), us) - bounds_us.begin();
    counts_[static_cast<std::size_t>(at)].fetch_add(1, std::memory_order_relaxed);
    sum_us_.fetch_add(static_cast<std::uint64_t>(std::max<std::int64_t>(us, 0)),
                      std::memory_order_relaxed);
  }
  std::uint64_t count(std::size_t bucket) const {
    return counts_[bucket].load(std::memory_order_relaxed);
  }
  std::uint64_t sum_us() const { return sum_us_.load(std::memory_order_relaxed); }

private:
  std::array<std::atomic<std::uint64_t>, bounds_us.size() + 1> counts_{};
  std::atomic<std::uint64_t> sum_us_{0};
};

/// Of what a program waits for.
using latency_histogram =
    duration_histogram<100, 250, 500, 1'000, 2'500, 5'000, 10'000, 25'000, 50'000, 100'000, 250'000,
                       500'000, 1'000'000, 2'500'000, 10'000'000>;

/// One named statement.
struct statement_metrics {
  std::atomic<const char*> name{nullptr}; ///< static storage; null: the entry is free
  latency_histogram latency;              ///< from CONNECTION taking it to its answer
  std::atomic<std::uint64_t> errors{0};
};

/// One place among a pool's connections. The counters go on from one connection in it to the next;
/// the others are of the one that holds it.
struct connection_metrics {
  std::atomic<std::uint64_t> holder{0}; ///< POOL's number for it; 0: nobody
  std::atomic<int> backend_pid{0};
  std::atomic<std::chrono::steady_clock::time_point> up_since{};
  std::atomic<std::size_t> in_flight{0};
  std::atomic<bool> lent{false};
  std::atomic<std::uint64_t> statements{0};
  std::atomic<std::uint64_t> errors{0};
};

struct database_metrics {
  using counter = std::atomic<std::uint64_t>;
  static constexpr std::size_t max_statements = 256;
  /// As many as max_connections may be, and what is there for a moment while one is replaced.
  static constexpr std::size_t max_slots = 1004;
  /// The first two characters of a SQLSTATE; "--" is an error without one (a lost connection).
  static constexpr std::array<std::string_view, 14> error_classes{
      "--", "08", "22", "23", "25", "28", "40", "42", "53", "54", "55", "57", "XX", "other"};
  /// Why transactions were rolled back.
  enum class rollback_cause : std::uint8_t { asked, failed, conflict, abandoned, timed_out };
  static constexpr std::array<std::string_view, 5> rollback_causes{"asked", "failed", "conflict",
                                                                   "abandoned", "timed_out"};

  latency_histogram acquire; ///< how long callers waited for a connection; at once counts too
  counter connections{0};    ///< gauge: open
  counter limit{0};          ///< gauge: connections at most
  counter lent{0};           ///< gauge: in the hands of one borrower
  counter in_flight{0};      ///< gauge: statements sent and not yet answered
  counter reconnects{0};     ///< connections made to replace a broken one
  counter retired{0};        ///< closed for age or idleness
  counter transactions{0};   ///< begun by UNIT OF WORK
  counter savepoints{0};
  counter transaction_retries{0}; ///< whole transactions run again after 40001 or 40P01
  std::array<counter, rollback_causes.size()> rollbacks{};
  std::array<counter, error_classes.size()> errors{};

  void rolled_back(rollback_cause why) { ++rollbacks[static_cast<std::size_t>(why)]; }
  void failed(std::string_view sqlstate) {
    const auto key = sqlstate.empty() ? std::string_view{"--"} : sqlstate.substr(0, 2);
    const auto found = std::find(error_classes.begin(), error_classes.end() - 1, key);
    ++errors[static_cast<std::size_t>(found - error_classes.begin())];
  }
  /// The entry of a name with static storage; the same one for the same pointer.
  statement_metrics& of(const char* name) {
    for (auto& entry : statements_) {
      const char* seen = entry.name.load(std::memory_order_acquire);
      if (seen == nullptr && entry.name.compare_exchange_strong(seen, name))
        return entry;
      if (seen == name)
        return entry;
    }
    return other_;
  }
  const std::array<statement_metrics, max_statements>& statements() const { return statements_; }
  const statement_metrics& other() const { return other_; }
  connection_metrics& slot(std::size_t number) { return slots_[std::min(number, max_slots - 1)]; }
  const std::array<connection_metrics, max_slots>& slots() const { return slots_; }

private:
  std::array<connection_metrics, max_slots> slots_;
  std::array<statement_metrics, max_statements> statements_;
  statement_metrics other_;
};

} // namespace troupe
