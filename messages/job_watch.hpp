// What event streams ask of jobs several times a second: which of these are others than they were?
// Small answers, so that many jobs may be asked for at once; who wants the job itself gets it.
#pragma once

#include "messages/job.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace troupe {

struct watch_jobs {
  static constexpr std::size_t most = 1'000; ///< in one question
  struct known {
    job_id id;
    std::optional<std::int64_t> mark; ///< none: tell me in any case
    std::int64_t last_line = 0;
  };
  std::vector<known> jobs;
};

/// Of one job that is another now.
struct job_sight {
  job_id id;
  std::int64_t mark = 0;      ///< changes with what is shown of it but its args; 0: there is none
  std::int64_t last_line = 0; ///< the highest number in its log
  bool ended = false;         ///< for good; then all of its log is there
};
struct job_sights {
  std::vector<job_sight> jobs; ///< those that changed, in no order
};

} // namespace troupe
