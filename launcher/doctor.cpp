#include "launcher/doctor.hpp"

#include "actors/health_checks.hpp"
#include "db/doctor.hpp"
#include "launcher/database_options.hpp"
#include "launcher/disk_space.hpp"
#include "launcher/private_postgres.hpp"
#include "messages/engine_error.hpp"

#include <filesystem>
#include <unistd.h>

namespace troupe {

namespace {

doctor_finding look_at_disk(const std::filesystem::path& cluster) {
  const auto check = check_disk(health_limits{}, space_of(cluster));
  if (check.status == health_status::ok)
    return {check.name, check.status, "there is room for the private PostgreSQL", {}};
  return {check.name, check.status, check.detail,
          "make room on the file system of " + cluster.string()
              + ": when it is full the server stops"};
}

} // namespace

doctor_report examine_database(const engine_options& options) {
  check_database_options(options);
  auto url = options.database_url;
  const std::filesystem::path home =
      options.data_dir.empty() ? default_data_dir() : options.data_dir;
  const bool own = url.empty();
  if (own) {
    if (::access((home / "pg" / ".s.PGSQL.5432").c_str(), F_OK) != 0)
      throw engine_error(errc::invalid_argument,
                         "doctor needs a database: set DATABASE_URL, or let 'troupe dev' run on "
                             + home.string() + ", whose private PostgreSQL is looked at then");
    url = private_postgres::url_of(home);
  }
  try {
    auto report = db::examine(
        connect_options_of(url, options.database, "troupe doctor"),
        {static_cast<std::size_t>(options.database.max_connections), options.database.pooler});
    if (own)
      report.findings.push_back(look_at_disk(home / "pgdata"));
    return report;
  } catch (const db::db_error& e) {
    // Whatever the reason, nothing could be looked at.
    const bool wrong = e.what_failed().code == errc::invalid_argument;
    throw engine_error(wrong ? errc::invalid_argument : errc::unavailable, e.what());
  }
}

} // namespace troupe
