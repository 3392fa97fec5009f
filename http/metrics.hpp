// The engine's counters, the database side's measures and the process' own figures as Prometheus
// text (format 0.0.4).
#pragma once

#include "http/request_metrics.hpp"
#include "messages/counters.hpp"
#include "messages/database_metrics.hpp"

#include <cstdint>
#include <string>

namespace troupe::http {

/// What the kernel says about this process.
struct process_figures {
  std::int64_t resident_bytes = 0;
  std::int64_t virtual_bytes = 0;
  std::int64_t open_descriptors = 0;
  std::int64_t max_descriptors = 0;
  std::int64_t threads = 0;
  double start_seconds = 0; ///< since the epoch
  double cpu_seconds = 0;
};
process_figures read_process();

/// What runs here, as labels.
struct build_labels {
  std::string version;
  std::string commit;
  std::string node;
};

std::string metrics_text(const engine_counters& counters, const database_metrics& database,
                         const request_metrics& requests, const process_figures& process,
                         const build_labels& build);

} // namespace troupe::http
