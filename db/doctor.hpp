// Looks a database over for `troupe doctor`: what the engine needs of it, and what would hurt it
// later. Reads only; each answer is waited for no longer than check_limit, whether the server works
// on it or stands still. Blocks; never on an actor's thread.
#pragma once

#include "db/connecting.hpp"
#include "db/failure.hpp"
#include "messages/doctor.hpp"

#include <chrono>

namespace troupe::db {

struct doctor_wishes {
  std::size_t connections = 4; ///< that a node will want
  bool pooler = false;         ///< the node is told that there is a pooler in between
  std::chrono::milliseconds check_limit{10'000};
};

/// Throws db_error when the server cannot be reached, or falls silent. What one look cannot see,
/// for want of rights or time, becomes a finding.
doctor_report examine(const connect_options& where, const doctor_wishes& wishes);

} // namespace troupe::db
