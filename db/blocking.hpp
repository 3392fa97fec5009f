// A connection that waits, for start-up work and tests: migrations, ping, scripts. Simple protocol,
// texts in and out. Private to db and tests; nothing that serves requests uses it.
#pragma once

#include "db/dial.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

struct pg_result; // libpq's PGresult

namespace troupe::db {

class startup_session {
public:
  /// Throws db_error. The timeouts of `options` hold for what follows; 0 is none.
  explicit startup_session(const connect_options& options);
  /// The same, but an answer is not waited for longer than this, whatever the server does: then
  /// exec() throws errc::timed_out, and the session is of no more use.
  startup_session(const connect_options& options, std::chrono::milliseconds patience);

  using text_row = std::vector<std::optional<std::string>>;
  /// Runs one or several statements and gives the rows of the last; throws db_error.
  std::vector<text_row> exec(const std::string& sql);
  /// The first column of the only row; nothing when it is NULL.
  std::optional<std::string> value(const std::string& sql);
  /// `text` as an SQL literal with its quotes.
  std::string quote(const std::string& text) const;

private:
  pg_result* answer_to(const std::string& sql);

  connection_handle raw_;
  std::optional<std::chrono::milliseconds> patience_;
};

} // namespace troupe::db
