// What a database error means for the one who asked: its errc, and whether the connection is still
// good. A pure function from SQLSTATE; actors and migrations use it. Texts are PostgreSQL's own.
#pragma once

#include "messages/errc.hpp"

#include <stdexcept>
#include <string>
#include <string_view>

namespace troupe::db {

struct db_failure {
  errc code = errc::database;
  std::string sqlstate;  ///< five characters; empty when the server did not say
  std::string statement; ///< name of the statement; empty for connecting
  std::string message;
  std::string constraint; ///< name of the violated constraint, if any
  /// Nothing was carried out, and the same call may succeed later.
  bool retryable = false;
  /// The connection is of no use any more, or serves a server that cannot write: replace it.
  bool poisons_connection = false;
};

/// What the server said of an error, before anybody judged it.
struct server_error {
  std::string sqlstate;
  std::string severity; ///< ERROR, FATAL or PANIC, never localised
  std::string message;
  std::string detail;
  std::string constraint;
  std::string function; ///< server source function; tells a stale plan from other 0A000 errors
};

/// The consequence of a server's error. FATAL and PANIC end the session.
db_failure classify(const server_error& error, std::string_view statement);

/// True when the prepared statement itself is gone or outdated, so it has to be prepared anew.
bool invalidates_prepared(const server_error& error);

/// The session ended with this: what was in flight may or may not have been carried out.
bool ends_session(const server_error& error);

/// The connection was lost, or never there, before the statement was handed to it.
db_failure lost_before_sending(std::string_view statement, std::string_view why);

/// The connection was lost after the statement was handed to it and before its commit was known.
db_failure lost_after_sending(std::string_view statement, std::string_view why);

/// Thrown by the blocking calls (migrate, admin); never by connection or connecting.
class db_error : public std::runtime_error {
public:
  explicit db_error(db_failure failure);
  const db_failure& what_failed() const { return failure_; }

private:
  db_failure failure_;
};

} // namespace troupe::db
