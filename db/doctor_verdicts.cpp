#include "db/doctor_verdicts.hpp"

#include <algorithm>
#include <charconv>

namespace troupe::db::doctoring {

namespace {

using namespace std::chrono;

constexpr auto ok = health_status::ok;
constexpr auto degraded = health_status::degraded;
constexpr auto failing = health_status::failing;

/// As long as one of the engine's own transactions may take, and half of it.
constexpr seconds long_transaction = 5min;
constexpr seconds long_idle = 1min;
/// The engine's statements are short, but its housekeeping may take as long.
constexpr std::int64_t short_timeout_ms = 10'000;
constexpr std::int64_t slot_behind = 1'000'000;
/// Of two billion transaction numbers, before rows have to be frozen.
constexpr std::int64_t old_age = 1'000'000'000, dangerous_age = 1'900'000'000;

doctor_finding fine(const char* name, std::string found) {
  return {name, ok, std::move(found), {}};
}

std::string ms(nanoseconds value) {
  return std::to_string(duration_cast<milliseconds>(value).count()) + " ms";
}

std::string length(seconds value) {
  if (value < 2min)
    return std::to_string(value.count()) + " s";
  if (value < 2h)
    return std::to_string(value.count() / 60) + " min";
  return std::to_string(value.count() / 3600) + " h";
}

std::int64_t number(const std::string& text) {
  std::int64_t out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

std::string list(const std::vector<open_transaction>& open) {
  constexpr std::size_t most = 3;
  std::string all;
  for (std::size_t i = 0; i < std::min(open.size(), most); ++i)
    all +=
        (i == 0 ? "" : "; ") + open[i].who + ", " + open[i].state + " for " + length(open[i].age);
  if (open.size() > most)
    all += "; and " + std::to_string(open.size() - most) + " more";
  return all;
}

} // namespace

doctor_finding judge_round_trip(microseconds latency) {
  if (latency > 500ms)
    return {"round trip", degraded, "one took " + ms(latency),
            "look at the network between here and the server, and at the server's load"};
  return fine("round trip", std::to_string(latency.count()) + " us");
}

doctor_finding judge_clock(microseconds ahead, microseconds latency) {
  if (abs(ahead) <= 2s + latency / 2)
    return fine("clock", "within " + ms(abs(ahead) + latency / 2) + " of the server's");
  return {"clock", degraded,
          "this machine's clock is " + ms(abs(ahead)) + (ahead > 0us ? " ahead of" : " behind")
              + " the server's",
          "synchronise both with NTP: due times go by the server's clock, logs by this one's"};
}

doctor_finding judge_pooler(bool moved, bool expected) {
  if (moved && !expected)
    return {"pooler", degraded,
            "a pooler that lends sessions for one transaction stands in between",
            "start nodes with --pooler (database.pooler), or lead them around it: without the flag "
            "they prepare statements in sessions that are not theirs"};
  if (moved)
    return fine("pooler", "one lends sessions for one transaction, and the nodes are told so");
  return fine("pooler", expected ? "none was seen, so --pooler only costs speed" : "none");
}

doctor_finding judge_replication(bool in_recovery, settings& found) {
  if (in_recovery)
    return {"replication", failing, "the server is a standby and takes no writes",
            "name the primary in the database URL, or all hosts and "
            "target_session_attrs=read-write"};
  if (found["default_transaction_read_only"] == "on")
    return {"replication", failing, "transactions are read only by default",
            "set default_transaction_read_only = off for this user and database"};
  return fine("replication", "the server takes writes");
}

std::vector<doctor_finding> judge_durability(settings& found) {
  std::vector<doctor_finding> out;
  std::string off;
  for (const auto* name : {"fsync", "full_page_writes", "synchronous_commit"})
    if (found[name] == "off")
      off += (off.empty() ? "" : ", ") + std::string{name};
  if (!off.empty())
    out.push_back({"durability", degraded,
                   off + (off.find(',') == off.npos ? " is off" : " are off"),
                   "set to on: what was acknowledged can be lost with the power"
                       + std::string{off.find("fsync") == off.npos && off.find("full") == off.npos
                                         ? ""
                                         : ", and the whole database with it"}});
  else
    out.push_back(fine("durability", "what is acknowledged is on disk"));
  if (found["data_checksums"] == "off")
    out.push_back({"checksums", degraded, "data checksums are off",
                   "stop the server, run pg_checksums --enable: without them a disk's errors go "
                   "unnoticed"});
  else
    out.push_back(fine("checksums", "on"));
  return out;
}

doctor_finding judge_encoding(settings& found) {
  const auto& encoding = found["server_encoding"];
  if (encoding == "UTF8")
    return fine("encoding", "UTF8");
  return {"encoding", degraded, "the database's encoding is " + encoding,
          "make the database anew with encoding UTF8: other texts of jobs are refused"};
}

doctor_finding judge_timeouts(settings& found, bool own) {
  if (own)
    return fine("timeouts", "set by options in the URL or PGOPTIONS");
  const auto statement = number(found["statement_timeout"]);
  if (statement > 0 && statement < short_timeout_ms)
    return {"timeouts", degraded,
            "statement_timeout is " + std::to_string(statement) + " ms by default",
            "raise it for this user (alter role ... set statement_timeout): nodes set their own, "
            "but SQL clients that enqueue and finish jobs do not"};
  const auto isolation = found["default_transaction_isolation"];
  if (!isolation.empty() && isolation != "read committed")
    return {"timeouts", degraded, "transactions are " + isolation + " by default",
            "set default_transaction_isolation = 'read committed' for this user: claims that meet "
            "would fail in place of waiting"};
  const auto idle = number(found["idle_in_transaction_session_timeout"]);
  if (idle == 0)
    return fine("timeouts", "none for statements; nodes set their own");
  return fine("timeouts", "idle transactions end after " + std::to_string(idle) + " ms");
}

doctor_finding judge_transactions(const std::vector<open_transaction>& open, bool all_seen) {
  std::vector<open_transaction> pinning;
  for (const auto& each : open)
    if (each.pins && each.age >= long_transaction)
      pinning.push_back(each);
  if (!pinning.empty())
    return {"transactions", degraded, list(pinning),
            "end them (pg_terminate_backend, rollback prepared): no row that died since they began "
            "can be removed, and tables only grow"};
  if (!all_seen)
    return fine("transactions", "none of this user is old; those of others are hidden from it "
                                "(grant pg_read_all_stats to see them)");
  return fine("transactions", "none is older than " + length(long_transaction));
}

doctor_finding judge_idle(const std::vector<open_transaction>& open) {
  std::vector<open_transaction> idle;
  for (const auto& each : open)
    if (each.state.starts_with("idle in transaction") && each.age >= long_idle)
      idle.push_back(each);
  if (idle.empty())
    return fine("idle transactions", "none");
  return {"idle transactions", degraded, list(idle),
          "find out what they wait for, and set idle_in_transaction_session_timeout"};
}

doctor_finding judge_slots(const std::string& name, std::int64_t behind) {
  if (behind < slot_behind)
    return fine("replication slots", "none holds old rows");
  return {"replication slots", degraded,
          "nobody reads slot " + name + ", " + std::to_string(behind) + " transactions behind",
          "start its reader again or drop it (pg_drop_replication_slot): until then no row that "
          "died since can be removed"};
}

doctor_finding judge_connections(const std::vector<connection_limit>& limits, std::size_t wanted) {
  const auto* tightest = &limits.front();
  for (const auto& each : limits)
    if (each.most >= 0 && each.most - each.used < tightest->most - tightest->used)
      tightest = &each;
  const auto left = std::max<std::int64_t>(0, tightest->most - tightest->used);
  const auto found = std::to_string(left) + " of " + std::to_string(tightest->most) + " are free ("
                     + tightest->name + "), a node takes up to " + std::to_string(wanted);
  if (left == 0 || left < static_cast<std::int64_t>(wanted))
    return {
        "connections", left < 2 ? failing : degraded, found,
        "raise " + tightest->name
            + ", or give nodes fewer connections (--max-connections): a connection carries many "
              "statements"};
  return fine("connections", found);
}

doctor_finding judge_vacuum(bool on, const std::string& tables_without, std::int64_t age) {
  if (age > old_age)
    return {"vacuum", age > dangerous_age ? failing : degraded,
            std::to_string(age / 1'000'000) + " million transactions since rows were last frozen",
            "run vacuum (freeze) on this database and find out what holds it up: at 2000 million "
            "the server stops taking writes"};
  if (!on)
    return {"vacuum", degraded,
            "autovacuum or track_counts is off"
                + (tables_without.empty() ? "" : ", and autovacuum for " + tables_without),
            "set both to on: tables that change only grow, and plans go by statistics of long ago"};
  if (!tables_without.empty())
    return {"vacuum", degraded, "autovacuum is off for " + tables_without,
            "reset autovacuum_enabled of these tables"};
  return fine("vacuum", "autovacuum is on");
}

doctor_finding judge_missing_schema(bool may_create) {
  if (may_create)
    return {"schema", degraded, "the database has no schema troupe yet",
            "run troupe migrate; troupe serve does it at its start, too"};
  return {"schema", failing,
          "the database has no schema troupe, and this user may not create schemas in it",
          "grant create on the database to this user, or run troupe migrate as its owner"};
}

doctor_finding judge_rights(const std::string& missing) {
  if (missing.empty())
    return fine("rights", "this user may do what a node does");
  return {"rights", failing, "this user has no " + missing,
          "grant them, or start nodes as the user who ran troupe migrate"};
}

doctor_finding judge_version(std::int64_t found, int known) {
  const auto version = "version " + std::to_string(found);
  if (found < known)
    return {"schema", degraded, version + ", this program speaks " + std::to_string(known),
            "run troupe migrate; troupe serve does it at its start, too"};
  if (found > known)
    return {"schema", failing, version + ", this program knows up to " + std::to_string(known),
            "run a program at least as new as the one that migrated the database"};
  return fine("schema", version);
}

doctor_finding judge_overdue(milliseconds overdue) {
  if (overdue <= 10s)
    return fine("scheduler", "no deferred job is late");
  return {"scheduler", degraded, "a deferred job is overdue by " + ms(overdue),
          "see that a node runs on this database, and what its log says of the scheduler"};
}

doctor_finding judge_indexes(const std::string& invalid) {
  if (invalid.empty())
    return fine("indexes", "all are valid");
  return {
      "indexes", degraded, "not valid: " + invalid,
      "reindex index concurrently troupe.NAME: an interrupted build left them, and no query uses "
      "them"};
}

doctor_finding judge_partitions(const std::string& what, std::int64_t ahead, bool beyond) {
  const auto name = "partitions of " + what;
  if (beyond)
    return {
        name, degraded, "rows went past the last partition",
        "see that a node runs on this database: it makes partitions ahead, and rows in the rest "
        "partition cannot be dropped cheaply"};
  if (ahead < 1)
    return {name, degraded, "none is ahead of the newest row",
            "see that a node runs on this database as the owner of its tables: it makes them"};
  return {name, ok, std::to_string(ahead) + " ahead of the newest row", {}};
}

} // namespace troupe::db::doctoring
