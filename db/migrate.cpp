#include "db/migrate.hpp"

#include "db/blocking.hpp"

#include <algorithm>

namespace troupe::db {

namespace {

/// Key of the advisory lock: "troupe" in ASCII. Fixed for ever, or two versions would not exclude
/// each other.
constexpr const char* lock_key = "128034845061221";

// Another process may be in the middle of a long migration; a migration itself must not queue
// behind somebody's long transaction on a table, and hold up everybody behind it, for as long.
constexpr const char* patience_for_turn = "15min";
constexpr const char* patience_for_tables = "60s";

connect_options at(const std::string& conninfo) {
  connect_options options;
  options.url = conninfo;
  return options;
}

connect_options migration_options(connect_options options) {
  options.application_name = "troupe migrate";
  options.statement_timeout = std::chrono::milliseconds{0};
  options.lock_timeout = std::chrono::milliseconds{0};
  options.idle_in_transaction_timeout = std::chrono::milliseconds{0};
  return options;
}

int version_of(startup_session& session) {
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

/// Opens a transaction that no other migrating one runs beside. The lock ends with it: behind a
/// pooler one of the session's would stay with whoever gets that session next.
void begin_turn(startup_session& session) {
  session.exec(std::string{"begin; set local lock_timeout = '"} + patience_for_turn + "'");
  session.exec(std::string{"select pg_advisory_xact_lock("} + lock_key + ")");
  session.exec(std::string{"set local lock_timeout = '"} + patience_for_tables + "'");
}

void make_version_table(startup_session& session) {
  session.exec("set local client_min_messages = warning;"
               "create schema if not exists troupe;"
               "create table if not exists troupe.schema_version ("
               "  version int primary key,"
               "  name text not null,"
               "  applied_at timestamptz not null default now())");
}

void apply(startup_session& session, const migration& step) {
  std::string number = std::to_string(step.number);
  try {
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
  return migrate(at(conninfo), migrations());
}

migration_report migrate(const connect_options& where) {
  return migrate(where, migrations());
}

migration_report migrate(const std::string& conninfo, std::span<const migration> steps) {
  return migrate(at(conninfo), steps);
}

migration_report migrate(const connect_options& where, std::span<const migration> steps) {
  startup_session session{migration_options(where)};
  const int newest = steps.empty() ? 0 : steps.back().number;
  migration_report report;
  for (bool first = true;; first = false) {
    begin_turn(session);
    // Anew each time: others may have applied a step since our last turn.
    report.to = version_of(session);
    if (first)
      report.from = report.to;
    if (report.to > newest)
      refuse_newer(report.to, newest);
    if (report.to == 0)
      make_version_table(session);
    auto next = std::find_if(steps.begin(), steps.end(),
                             [&](const migration& step) { return step.number > report.to; });
    if (next == steps.end()) {
      session.exec("commit");
      return report;
    }
    apply(session, *next);
    report.applied.emplace_back(next->name);
  }
}

int schema_version(const std::string& conninfo) {
  return schema_version(at(conninfo));
}

int schema_version(const connect_options& where) {
  startup_session session{migration_options(where)};
  return version_of(session);
}

} // namespace troupe::db
