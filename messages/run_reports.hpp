// What the runs of a node said, on its way from their reporters by LOGBOOK to STORE. Local to the
// process; what a handler and a reader see of it is in messages/job_log.hpp.
#pragma once

#include "messages/job_log.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// Whose words they are: of this attempt, for as long as the lease holds.
struct run_key {
  lease_id lease;
  job_id job;
  int attempt = 1;
};
struct told_progress {
  run_key run;
  std::optional<double> percent;
  std::string message;
};
struct told_line {
  run_key run;
  line_level level = line_level::info;
  std::string text;
  std::chrono::milliseconds ago{0};
};

struct record_reports {
  std::vector<told_progress> progress;
  std::vector<told_line> lines;
};
struct recorded_reports {
  /// Of which something was not stored: the lease is gone, or an outcome is there.
  std::vector<job_id> fenced;
};

} // namespace troupe
