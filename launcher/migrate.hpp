// The database room's migrations and versions for the command line, which does not see that room.
#pragma once

#include "launcher/engine_options.hpp"

#include <string>
#include <vector>

namespace troupe {

struct migration_summary {
  int from = 0; ///< version found; 0 is an empty database
  int to = 0;
  std::vector<std::string> applied;
};

/// Blocks. Throws engine_error: options that cannot be used, no connection, a server too old, a
/// migration that failed, or a database newer than this program (errc::conflict).
migration_summary migrate_database(const engine_options& options);

/// The schema this program carries.
int carried_schema_version();
/// libpq's version, as it is loaded.
std::string libpq_version();

} // namespace troupe
