#include "db/failure.hpp"

#include <array>

namespace troupe::db {

namespace {

enum class consequence : std::uint8_t {
  plain,     ///< this statement failed, and would fail again
  try_again, ///< nothing was carried out; the same call may succeed
  replace,   ///< the same, but over another connection
};

struct rule {
  std::string_view prefix; ///< of the SQLSTATE: two characters are a class
  errc code;
  consequence effect;
};

// The first match counts, so single states stand before their class.
constexpr std::array rules{
    // What our own functions raise: the message is meant for the caller.
    rule{"TR404", errc::not_found, consequence::plain},
    rule{"TR412", errc::stale, consequence::plain}, // a queue stands at another version
    rule{"TR409", errc::conflict, consequence::plain},
    rule{"TR400", errc::invalid_argument, consequence::plain},
    rule{"TR410", errc::fenced, consequence::plain},     // this life is over
    rule{"TR503", errc::overloaded, consequence::plain}, // a queue is full
    // The statement was undone for the sake of others.
    rule{"40001", errc::retry, consequence::try_again},
    rule{"40P01", errc::retry, consequence::try_again},
    rule{"55P03", errc::retry, consequence::try_again}, // lock_timeout, NOWAIT
    // The prepared statement is gone (a pooler, DISCARD) or its plan outdated (a migration).
    rule{"26000", errc::retry, consequence::try_again},
    // An earlier statement of the transaction block failed.
    rule{"25P02", errc::aborted, consequence::plain},
    rule{"57014", errc::timed_out, consequence::plain},
    // The session is over, or never began.
    rule{"08", errc::unavailable, consequence::replace},
    rule{"25P03", errc::unavailable, consequence::replace}, // idle in transaction
    rule{"57P01", errc::unavailable, consequence::replace}, // terminated, shutting down
    rule{"57P02", errc::unavailable, consequence::replace}, // crash of another session
    rule{"57P03", errc::unavailable, consequence::replace}, // starting up
    rule{"57P04", errc::unavailable, consequence::replace}, // database dropped
    rule{"57P05", errc::unavailable, consequence::replace}, // idle session
    rule{"28", errc::unavailable, consequence::replace},    // wrong user or password
    rule{"3D000", errc::unavailable, consequence::replace}, // no such database
    rule{"25006", errc::unavailable, consequence::replace}, // read only: a standby took our place
    // The server lacks something; the session lives.
    rule{"53300", errc::unavailable, consequence::replace}, // too many connections
    rule{"53", errc::unavailable, consequence::try_again},  // disk, memory
    rule{"58", errc::unavailable, consequence::try_again},  // I/O error
    // The data are wrong.
    rule{"23514", errc::invalid_argument, consequence::plain}, // check
    rule{"23502", errc::invalid_argument, consequence::plain}, // not null
    rule{"23505", errc::conflict, consequence::plain},         // unique
    rule{"23503", errc::conflict, consequence::plain},         // foreign key
    rule{"23P01", errc::conflict, consequence::plain},         // exclusion
    rule{"23001", errc::conflict, consequence::plain},         // restrict
    rule{"22", errc::invalid_argument, consequence::plain},    // text, number, date, JSON
    rule{"54001", errc::invalid_argument, consequence::plain}, // nested too deeply
    rule{"54000", errc::invalid_argument, consequence::plain}, // too long for an index
};

db_failure lost(errc code, std::string_view statement, std::string_view why) {
  db_failure result;
  result.code = code;
  result.statement = statement;
  result.message = why;
  result.retryable = code == errc::unavailable;
  result.poisons_connection = true;
  return result;
}

} // namespace

bool invalidates_prepared(const server_error& error) {
  return error.sqlstate == "26000"
         || (error.sqlstate == "0A000" && error.function == "RevalidateCachedQuery");
}

bool ends_session(const server_error& error) {
  return error.severity == "FATAL" || error.severity == "PANIC";
}

db_failure classify(const server_error& error, std::string_view statement) {
  db_failure result;
  result.sqlstate = error.sqlstate;
  result.statement = statement;
  result.message = error.message;
  if (!error.detail.empty())
    result.message += " (" + error.detail + ")";
  result.constraint = error.constraint;
  for (const auto& candidate : rules) {
    if (error.sqlstate.starts_with(candidate.prefix)) {
      result.code = candidate.code;
      result.retryable = candidate.effect != consequence::plain;
      result.poisons_connection = candidate.effect == consequence::replace;
      break;
    }
  }
  // A row on its way into the default partition waited while the one was made that it belongs to.
  const bool misrouted =
      error.sqlstate == "23514" && error.function == "ExecPartitionCheckEmitError";
  if (misrouted || (error.sqlstate == "0A000" && invalidates_prepared(error))) {
    result.code = errc::retry;
    result.retryable = true;
  }
  if (ends_session(error))
    result.poisons_connection = true;
  return result;
}

db_failure lost_before_sending(std::string_view statement, std::string_view why) {
  return lost(errc::unavailable, statement, why);
}

db_failure lost_after_sending(std::string_view statement, std::string_view why) {
  return lost(errc::outcome_unknown, statement, why);
}

db_error::db_error(db_failure failure)
    : std::runtime_error(failure.message), failure_(std::move(failure)) {}

} // namespace troupe::db
