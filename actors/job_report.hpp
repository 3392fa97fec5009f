// What RUNNER tells EXECUTOR about a run. Private to these two.
#pragma once

#include "messages/interfaces.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

namespace troupe {

struct job_report {
  std::size_t runner = 0; ///< EXECUTOR's number for the runner
  assignment run;
  /// The outcome; empty in later reports of a run whose outcome was told while its handler went on.
  std::optional<job_result> result;
  bool written = false; ///< the outcome is in the database: the run's transaction held it
  bool idle = true;     ///< false: the handler still runs, though it was asked to stop
  bool ran = true;      ///< false: it goes back as it came
  bool stuck = false;   ///< it has done so for too long: its slot is free
  bool stopped = false; ///< it was asked to stop before it ended
  std::chrono::steady_clock::time_point started;
  std::chrono::steady_clock::time_point finished;
};

} // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::job_report)

namespace troupe {

/// EXECUTOR as its runners see it.
using job_reports_actor = caf::typed_actor<caf::reacts_to<job_report>>;

} // namespace troupe
