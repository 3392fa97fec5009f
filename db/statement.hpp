// One named SQL statement. Each file db/sql/NAME.sql is embedded at build time as a constant
// troupe::db::sql::NAME (generated header db/statements.hpp); the name is the prepared statement's
// name and the label in metrics and errors.
#pragma once

namespace troupe::db {

/// Has static storage: queries, results and failures keep pointers to it.
struct statement {
  const char* name;
  const char* text;
};

} // namespace troupe::db
