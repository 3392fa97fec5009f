// Brings a database to this program's schema: the files db/migrations/NNNNNN_name.sql in order,
// each in a transaction of its own with its row of troupe.schema_version and under one advisory
// lock, so any number of processes may start at once, also behind a pooler. Forward only. Blocks;
// called at start-up.
#pragma once

#include "db/connecting.hpp"
#include "db/failure.hpp"

#include <span>
#include <string>
#include <vector>

namespace troupe::db {

struct migration {
  int number;
  const char* name;
  const char* text;
};

/// The migrations this program carries, ascending.
std::span<const migration> migrations();

struct migration_report {
  int from = 0; ///< version found; 0 is an empty database
  int to = 0;
  std::vector<std::string> applied;
};

/// Throws db_error: no connection, server older than 14, a migration failed (nothing of that one
/// stays), or the database is newer than this program (errc::conflict).
migration_report migrate(const std::string& conninfo);
/// The way to the server as in `where`; its time limits do not count.
migration_report migrate(const connect_options& where);
/// The same with other migrations; for tests.
migration_report migrate(const std::string& conninfo, std::span<const migration> steps);
migration_report migrate(const connect_options& where, std::span<const migration> steps);

/// The database's version; 0 when Troupe's schema is not there. Throws db_error.
int schema_version(const std::string& conninfo);
int schema_version(const connect_options& where);

} // namespace troupe::db
