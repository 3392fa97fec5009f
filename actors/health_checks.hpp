// The verdicts of HEALTH MONITOR: what was seen becomes ok, degraded or failing, with a reason.
// Values in, values out; what compares with the last time keeps that itself. Degraded: it works and
// somebody should look. Failing: no traffic should come here.
#pragma once

#include "messages/counters.hpp"
#include "messages/database_metrics.hpp"
#include "messages/engine_requests.hpp"
#include "messages/health.hpp"

#include <chrono>
#include <optional>

namespace troupe {

struct health_limits {
  using milliseconds = std::chrono::milliseconds;
  /// A round trip above this is degraded.
  milliseconds slow_round_trip{500};
  /// So is one caller in a hundred who waits longer for a connection.
  milliseconds slow_acquire{500};
  /// And a difference between the clocks above this.
  milliseconds clock_skew{2000};
  /// Heartbeats are answered once a second; without one for this long the node is at risk.
  milliseconds heartbeat_age{8000};
  /// A deferred job is moved when it is due; this late, nobody does.
  milliseconds overdue{10'000};
  /// Claimed jobs wait, and for so long none has ended: degraded. Failing when none runs either.
  milliseconds stuck{60'000};
  /// Below either the disk is degraded, and failing.
  double low_share = 0.10, least_share = 0.01;
  std::uint64_t low_bytes = std::uint64_t{1} << 30, least_bytes = std::uint64_t{100} << 20;
  /// This node has a connection that listens.
  bool listens = false;
  /// The schema this program speaks.
  int schema_version = 1;
};

health_check check_round_trip(const health_limits& limits, std::chrono::microseconds latency);
/// The server takes writes.
health_check check_replication(const database_probe& probe);
health_check check_migrations(const health_limits& limits, const database_probe& probe);
/// What is acknowledged survives a power cut.
health_check check_durability(const database_probe& probe);
/// `here` is this node's time when the answer came, `latency` after it was asked for.
health_check check_clock(const health_limits& limits, const database_probe& probe, timestamp here,
                         std::chrono::microseconds latency);
/// Never failing: all nodes see the same, and taking them all out would not move a job.
health_check check_scheduler(const health_limits& limits, const database_probe& probe);
/// Never failing: what is not heard comes with the heartbeat.
health_check check_notifier(const engine_counters& counters);
health_check check_disk(const health_limits& limits, const std::optional<disk_space>& space);

class pool_watch {
public:
  /// Of what happened since the last call.
  health_check check(const health_limits& limits, const engine_counters& counters,
                     const database_metrics& metrics);

private:
  std::uint64_t refused_ = 0;
  std::array<std::uint64_t, latency_histogram::bounds_us.size() + 1> waits_{};
};

class heartbeat_watch {
public:
  health_check check(const health_limits& limits, const engine_counters& counters,
                     std::chrono::steady_clock::time_point now);

private:
  std::uint64_t seen_ = 0;
  std::chrono::steady_clock::time_point at_{};
};

class executor_watch {
public:
  health_check check(const health_limits& limits, const engine_counters& counters,
                     std::chrono::steady_clock::time_point now);

private:
  std::uint64_t ended_ = 0;
  std::chrono::steady_clock::time_point moved_at_{};
};

} // namespace troupe
