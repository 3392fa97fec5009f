#include "launcher/migrate.hpp"

#include "db/admin.hpp"
#include "db/migrate.hpp"
#include "launcher/database_options.hpp"
#include "launcher/engine.hpp"

#include <utility>

namespace troupe {

migration_summary migrate_database(const engine_options& options) {
  check_database_options(options);
  try {
    auto report =
        db::migrate(connect_options_of(options.database_url, options.database, "troupe migrate"));
    return {report.from, report.to, std::move(report.applied)};
  } catch (const db::db_error& e) {
    throw refused_by(e);
  }
}

int carried_schema_version() {
  return db::migrations().back().number;
}

std::string libpq_version() {
  return db::client_version();
}

} // namespace troupe
