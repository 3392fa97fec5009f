#include "db/doctor.hpp"

#include "db/blocking.hpp"
#include "db/conninfo.hpp"
#include "db/doctor_verdicts.hpp"
#include "db/migrate.hpp"
#include "db/statements.hpp"

#include <charconv>
#include <cstdlib>

namespace troupe::db {

namespace {

using namespace doctoring;
using rows = std::vector<startup_session::text_row>;

std::string text(const std::optional<std::string>& value) {
  return value.value_or("");
}

std::int64_t number(const std::optional<std::string>& value) {
  std::int64_t out = 0;
  if (value)
    std::from_chars(value->data(), value->data() + value->size(), out);
  return out;
}

bool truth(const std::optional<std::string>& value) {
  return value == "t";
}

/// What the URL or the environment sets hides what the server would.
bool sets_its_own(const connect_options& where) {
  const char* inherited = std::getenv("PGOPTIONS");
  if (inherited != nullptr && *inherited != '\0')
    return true;
  const auto parsed = conninfo::parse(where.url);
  const auto* given = std::get_if<conninfo>(&parsed);
  return given != nullptr && given->find("options") != nullptr;
}

connect_options as_is(const connect_options& where) {
  auto options = where;
  options.application_name = "troupe doctor";
  // Like this nothing is set at the start, so the server's own settings show, and PgBouncer, which
  // takes no settings, lets us in.
  options.pooler = !sets_its_own(where);
  return options;
}

class examination {
public:
  examination(const connect_options& where, const doctor_wishes& wishes)
      : options_(as_is(where)), wishes_(wishes), session_(options_, wishes.check_limit) {}

  doctor_report run() {
    named("server", [this] { look_at_server(); });
    look("pooler", [this] { look_for_pooler(); });
    look("settings", [this] { look_at_settings(); });
    look("transactions", [this] { look_at_transactions(); });
    look("connections", [this] { look_at_connections(); });
    look("vacuum", [this] { look_at_vacuum(); });
    look("schema", [this] { look_at_schema(); });
    return std::move(report_);
  }

private:
  rows ask(const statement& what) {
    // A server that is only slow says so itself, before we give up. Several statements in one
    // message are one transaction, for which this holds.
    const auto limit = wishes_.check_limit * 9 / 10;
    return session_.exec("set local statement_timeout = " + std::to_string(limit.count()) + "; "
                         + what.text);
  }
  void add(doctor_finding found) { report_.findings.push_back(std::move(found)); }

  /// Says where the server fell silent.
  template<class Look>
  static void named(const char* name, Look what) {
    try {
      what();
    } catch (const db_error& problem) {
      auto why = problem.what_failed();
      if (why.code != errc::timed_out || !why.poisons_connection)
        throw;
      why.message = std::string{name} + ": " + why.message;
      throw db_error(std::move(why));
    }
  }

  /// What this look cannot see is a finding; a lost connection is not.
  template<class Look>
  void look(const char* name, Look what) {
    try {
      named(name, what);
    } catch (const db_error& problem) {
      const auto& why = problem.what_failed();
      if (why.sqlstate.empty() || why.poisons_connection)
        throw;
      add({name, health_status::degraded, "could not be looked at: " + why.message,
           why.sqlstate == "42501" ? "grant this user what it lacks, or ask as the owner"
                                   : "look again; if it stays, look into the server's log"});
    }
  }

  void look_at_server() {
    const auto asked = std::chrono::steady_clock::now();
    const auto before = std::chrono::system_clock::now();
    const auto row = ask(sql::doctor_server).at(0);
    const auto took = std::chrono::steady_clock::now() - asked;
    const auto latency = std::chrono::duration_cast<std::chrono::microseconds>(took);
    const timestamp there{std::chrono::microseconds{number(row[5])}};
    const auto middle = std::chrono::time_point_cast<std::chrono::microseconds>(before + took / 2);
    report_.server =
        "PostgreSQL " + text(row[0]) + ", database " + text(row[1]) + ", user " + text(row[2]);
    in_recovery_ = truth(row[4]);
    sees_others_ = truth(row[6]);
    may_create_ = truth(row[7]);
    has_schema_ = truth(row[8]);
    add({"server", health_status::ok, report_.server, {}});
    add(judge_round_trip(latency));
    add(judge_clock(middle - there, latency));
  }

  /// A pooler that lends sessions for one transaction gives each caller the one that was used last:
  /// two who ask in turn meet in the same session, or find themselves in another one.
  void look_for_pooler() {
    startup_session other{options_, wishes_.check_limit};
    const auto pid_of = [](startup_session& of) {
      return number(of.exec(sql::doctor_server.text).at(0)[3]);
    };
    const auto first = pid_of(session_);
    const bool moved = pid_of(other) == first || pid_of(session_) != first;
    add(judge_pooler(moved, wishes_.pooler));
  }

  void look_at_settings() {
    settings found;
    for (const auto& row : ask(sql::doctor_settings))
      found[text(row[0])] = text(row[1]);
    add(judge_replication(in_recovery_, found));
    for (auto& each : judge_durability(found))
      add(std::move(each));
    add(judge_encoding(found));
    add(judge_timeouts(found, sets_its_own(options_)));
    autovacuum_ = found["autovacuum"] == "on" && found["track_counts"] == "on";
  }

  void look_at_transactions() {
    std::vector<open_transaction> open;
    for (const auto& row : ask(sql::doctor_transactions))
      open.push_back(
          {text(row[0]), text(row[1]), std::chrono::seconds{number(row[2])}, truth(row[3])});
    add(judge_transactions(open, sees_others_));
    add(judge_idle(open));
    const auto slots = ask(sql::doctor_slots);
    add(judge_slots(slots.empty() ? "" : text(slots[0][0]),
                    slots.empty() ? 0 : number(slots[0][1])));
  }

  void look_at_connections() {
    const auto row = ask(sql::doctor_connections).at(0);
    add(judge_connections({{"max_connections", number(row[0]), number(row[1])},
                           {"the database's connection limit", number(row[2]), number(row[3])},
                           {"the user's connection limit", number(row[4]), number(row[5])}},
                          wishes_.connections));
  }

  void look_at_vacuum() {
    const auto row = ask(sql::doctor_vacuum).at(0);
    add(judge_vacuum(autovacuum_, text(row[1]), number(row[0])));
  }

  void look_at_schema() {
    const int newest = migrations().back().number;
    if (!has_schema_)
      return add(judge_missing_schema(may_create_));
    std::string missing;
    for (const auto& row : ask(sql::doctor_rights))
      missing += (missing.empty() ? "" : "; ") + text(row[1]) + " on " + text(row[0]);
    add(judge_rights(missing));
    const auto probe = ask(sql::probe).at(0);
    const auto version = number(probe[2]);
    add(judge_version(version, newest));
    if (version == newest) {
      add(judge_overdue(std::chrono::milliseconds{number(probe[5])}));
      std::string indexes;
      for (const auto& row : ask(sql::doctor_indexes))
        indexes += (indexes.empty() ? "" : ", ") + text(row[0]);
      add(judge_indexes(indexes));
      for (const auto& row : ask(sql::doctor_partitions))
        add(judge_partitions(text(row[0]), number(row[1]), truth(row[2])));
    }
  }

  connect_options options_;
  doctor_wishes wishes_;
  startup_session session_;
  doctor_report report_;
  bool in_recovery_ = false, sees_others_ = false, may_create_ = false, has_schema_ = false;
  bool autovacuum_ = true;
};

} // namespace

doctor_report examine(const connect_options& where, const doctor_wishes& wishes) {
  return examination{where, wishes}.run();
}

} // namespace troupe::db
