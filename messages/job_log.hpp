// What a run says while it goes on: how far it is, and the lines of its log. Neither is in the
// job's row; docs/progress.md.
#pragma once

#include "messages/job.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// The numbers are stored (troupe.job_log.level): never renumber.
enum class line_level : std::uint8_t { debug = 1, info = 2, warn = 3, error = 4 };

std::string_view to_string(line_level level);

struct log_line {
  std::int64_t number = 0; ///< ascending within the job, with gaps
  timestamp at;
  int attempt = 1;
  line_level level = line_level::info;
  std::string text;
};

/// One page of a job's log, oldest first. `next` is the number above which the next page starts.
struct log_page {
  std::vector<log_line> lines;
  std::optional<std::int64_t> next;
};

/// Where a run's words go. Implemented by actors/run_reporter; any thread, never waits.
class run_listener {
public:
  run_listener() = default;
  run_listener(const run_listener&) = delete;
  run_listener& operator=(const run_listener&) = delete;
  virtual ~run_listener() = default;
  virtual void progress(std::optional<double> percent, std::string_view message) = 0;
  virtual void log(line_level level, std::string_view text) = 0;
};

} // namespace troupe
