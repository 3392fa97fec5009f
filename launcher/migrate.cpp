#include "launcher/migrate.hpp"

#include "db/admin.hpp"
#include "db/migrate.hpp"
#include "launcher/engine.hpp"

#include <utility>

namespace troupe {

migration_summary migrate_database(const std::string& database_url) {
  try {
    auto report = db::migrate(database_url);
    return {report.from, report.to, std::move(report.applied)};
  } catch (const db::db_error& e) {
    throw engine_error(e.what_failed().code, e.what());
  }
}

int carried_schema_version() {
  return db::migrations().back().number;
}

std::string libpq_version() {
  return db::client_version();
}

} // namespace troupe
