// What `troupe doctor` found: checks with a verdict, what was seen, and what to do about it. Made
// by db/doctor and the launcher, printed by the command line; a node makes one, too.
#pragma once

#include "messages/health.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace troupe {

struct doctor_finding {
  std::string name;
  health_status status = health_status::ok;
  std::string found;  ///< one sentence without its full stop
  std::string advice; ///< what to do; empty when ok
};

/// Look the database over, through the engine's own connections.
struct ask_doctor {};

struct doctor_report {
  std::string server; ///< "PostgreSQL 15.8, database troupe, user app"
  std::vector<doctor_finding> findings;

  health_status status() const {
    auto worst = health_status::ok;
    for (const auto& each : findings)
      worst = std::max(worst, each.status);
    return worst;
  }
};

} // namespace troupe
