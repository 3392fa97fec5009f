// A connection that waits, for start-up work and tests: migrations, ping, scripts. Simple protocol,
// texts in and out. Private to db and tests; nothing that serves requests uses it.
#pragma once

#include "db/dial.hpp"

#include <optional>
#include <string>
#include <vector>

namespace troupe::db {

class startup_session {
public:
  /// Throws db_error. The timeouts of `options` hold for what follows; 0 is none.
  explicit startup_session(const connect_options& options);

  using text_row = std::vector<std::optional<std::string>>;
  /// Runs one or several statements and gives the rows of the last; throws db_error.
  std::vector<text_row> exec(const std::string& sql);
  /// The first column of the only row; nothing when it is NULL.
  std::optional<std::string> value(const std::string& sql);
  /// `text` as an SQL literal with its quotes.
  std::string quote(const std::string& text) const;

private:
  connection_handle raw_;
};

} // namespace troupe::db
