#include "db/migrate.hpp"

#include "db/blocking.hpp"

namespace troupe::db {

namespace {

/// Key of the advisory lock: "troupe" in ASCII. Fixed for ever, or two versions would not exclude
/// each other.
constexpr const char* lock_key = "128034845061221";

// Another process may be in the middle of a long migration; a migration itself must not queue
// behind somebody's long transaction on a table, and hold up everybody behind it, for as long.
constexpr const char* patience_for_turn = "15min";
constexpr const char* patience_for_tables = "60s";

connect_options migration_options(const std::string& conninfo) {
  connect_options options;
  options.url = conninfo;
  options.application_name = "troupe migrate";
  options.statement_timeout = std::chrono::milliseconds{0};
  options.lock_timeout = std::chrono::milliseconds{0};
  options.idle_in_transaction_timeout = std::chrono::milliseconds{0};
  options.hot_path_plans = false;
  return options;
}

int version_of(blocking_session& session) {
  if (!session.value("select to_regclass('troupe.schema_version')"))
    return 0;
  return std::stoi(*session.value("select coalesce(max(version), 0) from troupe.schema_version"));
}

[[noreturn]] void refuse_newer(int found, int known) {
  db_failure why;
  why.code = errc::conflict;
  why.message = "the database has schema version " + std::to_string(found)
                + ", this program knows versions up to " + std::to_string(known)
                + "; start a program at least as new as the one that migrated the database";
  throw db_error(std::move(why));
}

void apply(blocking_session& session, const migration& step) {
  std::string number = std::to_string(step.number);
  try {
    session.exec("begin");
    // The row first: whoever got past the lock by another way fails here and changes nothing.
    session.exec("insert into troupe.schema_version (version, name) values (" + number + ", "
                 + session.quote(step.name) + ")");
    session.exec(step.text);
    session.exec("commit");
  } catch (const db_error& problem) {
    // Ending the session undoes the transaction.
    auto why = problem.what_failed();
    why.statement = step.name;
    why.message = "migration " + number + " (" + step.name + ") failed: " + why.message;
    throw db_error(std::move(why));
  }
}

} // namespace

migration_report migrate(const std::string& conninfo) {
  return migrate(conninfo, migrations());
}

migration_report migrate(const std::string& conninfo, std::span<const migration> steps) {
  blocking_session session{migration_options(conninfo)};
  int newest = steps.empty() ? 0 : steps.back().number;

  session.exec(std::string{"set lock_timeout = '"} + patience_for_turn + "'");
  session.exec(std::string{"select pg_advisory_lock("} + lock_key + ")");
  session.exec(std::string{"set lock_timeout = '"} + patience_for_tables + "'");

  migration_report report;
  report.from = report.to = version_of(session);
  if (report.from > newest)
    refuse_newer(report.from, newest);
  if (report.from == 0)
    session.exec("set client_min_messages = warning;"
                 "create schema if not exists troupe;"
                 "create table if not exists troupe.schema_version ("
                 "  version int primary key,"
                 "  name text not null,"
                 "  applied_at timestamptz not null default now())");
  for (const auto& step : steps) {
    if (step.number <= report.from)
      continue;
    apply(session, step);
    report.to = step.number;
    report.applied.emplace_back(step.name);
  }
  // The lock goes with the session.
  return report;
}

int schema_version(const std::string& conninfo) {
  blocking_session session{migration_options(conninfo)};
  return version_of(session);
}

} // namespace troupe::db
