// A statement's text with its parameters written into it as literals, for COPY, which takes none.
// Every value is quoted by libpq and cast to its type. Private to db. Times outside of the years 1
// to 9999 and texts with a NUL or broken UTF-8 are refused.
#pragma once

#include "db/failure.hpp"
#include "db/query.hpp"

#include <string>
#include <variant>

struct pg_conn;

namespace troupe::db {

/// $1 and so on are found where PostgreSQL would: not in quotes, names and comments.
std::variant<std::string, db_failure> with_literals(pg_conn* for_whom, const query& what);

} // namespace troupe::db
