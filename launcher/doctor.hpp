// The look over a database, for the command line, which does not see the database room.
#pragma once

#include "launcher/engine_options.hpp"
#include "messages/doctor.hpp"

namespace troupe {

/// Looks at the database of the options; without one, at the private PostgreSQL of the data
/// directory if it runs. Blocks. Throws engine_error: options that cannot be used, no database
/// named (errc::invalid_argument), or none that answers (errc::unavailable).
doctor_report examine_database(const engine_options& options);

} // namespace troupe
