// What the tests of one connection send: statements with one number, some of which fail.
#pragma once

#include "db/query.hpp"

namespace troupe::tests {

inline const db::statement divide{"divide", "select 1000 / $1::int8"};
inline const db::statement insert{"insert", "insert into t values ($1::int8)"};
inline const db::statement end_me{"end_me", "select pg_terminate_backend(pg_backend_pid())"};

inline db::query with(const db::statement& what, std::int64_t value) {
  db::query q{what};
  q.bind(value);
  return q;
}

} // namespace troupe::tests
