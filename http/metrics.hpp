// The engine's counters, the database side's measures and the process' own figures as Prometheus
// text (format 0.0.4).
#pragma once

#include "messages/counters.hpp"
#include "messages/database_metrics.hpp"

#include <cstdint>
#include <string>

namespace troupe::http {

/// What the kernel says about this process.
struct process_figures {
  std::int64_t resident_bytes = 0;
  std::int64_t open_descriptors = 0;
  double cpu_seconds = 0;
};
process_figures read_process();

std::string metrics_text(const engine_counters& counters, const database_metrics& database,
                         const process_figures& process, const std::string& version,
                         const std::string& node);

} // namespace troupe::http
