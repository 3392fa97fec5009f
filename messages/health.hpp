// What HEALTH MONITOR last saw, published where probes can read it without asking anybody.
#pragma once

#include "messages/job.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

enum class health_status : std::uint8_t { ok, degraded, failing };

constexpr const char* name_of(health_status status) {
  return status == health_status::ok ? "ok"
                                     : (status == health_status::degraded ? "degraded" : "failing");
}

struct health_check {
  /// pool, database, replication, migrations, durability, clock, heartbeat, scheduler, executor,
  /// notifier, disk, certificate
  std::string name;
  health_status status = health_status::ok;
  std::chrono::microseconds latency{0};
  std::string detail; ///< the reason when not ok
  /// None: with the report. Earlier for what the database said before it fell silent.
  std::optional<std::chrono::steady_clock::time_point> taken_at{};
};

/// Of the file system that holds a private server's data.
struct disk_space {
  std::uint64_t free = 0; ///< bytes that the server may use
  std::uint64_t total = 0;
};

struct health_report {
  health_status status = health_status::failing; ///< the worst of the checks
  bool ready = false;                            ///< may traffic come
  std::chrono::steady_clock::time_point taken_at;
  std::vector<health_check> checks;
};

/// Holds the last report; written by HEALTH MONITOR, read by probes from any thread.
class health_board {
public:
  void publish(health_report report) {
    last_.store(std::make_shared<const health_report>(std::move(report)));
  }
  /// Null before the first check.
  std::shared_ptr<const health_report> last() const { return last_.load(); }

private:
  std::atomic<std::shared_ptr<const health_report>> last_;
};

} // namespace troupe
