// Looks a database over for `troupe doctor`, over a session of its own: what the engine needs of
// it, and what would hurt it later. Reads only; each answer is waited for no longer than
// check_limit, whether the server works on it or stands still. Blocks; never on an actor's thread.
#pragma once

#include "db/connecting.hpp"
#include "db/examination.hpp"
#include "db/failure.hpp"
#include "messages/doctor.hpp"

namespace troupe::db {

/// Throws db_error when the server cannot be reached, or falls silent. What one look cannot see,
/// for want of rights or time, becomes a finding.
doctor_report examine(const connect_options& where, const doctor_wishes& wishes);

} // namespace troupe::db
