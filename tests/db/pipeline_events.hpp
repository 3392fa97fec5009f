// What the wire says, made by hand, and answers as texts: for the tests of db::pipeline, which has
// no socket.
#pragma once

#include "db/pipeline.hpp"
#include "db/query.hpp"
#include "db/wire.hpp"

#include <libpq-fe.h>

#include <cstring>
#include <string>

namespace troupe::tests {

using namespace db;

inline const statement alpha{"alpha", ""};
inline const statement beta{"beta", ""};
inline const statement gamma_{"gamma", ""};
inline const statement begin{"begin", "begin"};
inline const statement commit{"commit", "commit"};

/// A result with one row that holds `value`.
inline result rows_with(const statement& what, std::int64_t value) {
  auto* raw = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  std::string name = "value";
  PGresAttDesc column{name.data(), 0, 0, 1, oid::int8, 8, -1};
  PQsetResultAttrs(raw, 1, &column);
  std::string bytes;
  wire::append_int(bytes, value);
  PQsetvalue(raw, 0, 0, bytes.data(), static_cast<int>(bytes.size()));
  return {raw, not_owned(what)};
}

inline db_failure failure_with(const std::string& message, errc code = errc::database) {
  db_failure made;
  made.code = code;
  made.message = message;
  return made;
}

/// A completion without rows.
inline result done(const statement& what, const char* tag) {
  auto* raw = PQmakeEmptyPGresult(nullptr, PGRES_COMMAND_OK);
  std::strcpy(PQcmdStatus(raw), tag);
  return {raw, not_owned(what)};
}

inline std::string told(const finished& answer) {
  if (const auto* why = std::get_if<db_failure>(&answer.outcome)) {
    if (why->code == errc::outcome_unknown)
      return "unknown";
    return why->code == errc::aborted ? "aborted" : why->message;
  }
  const auto& rows = std::get<result>(answer.outcome);
  return rows.rows() == 1 ? std::to_string(rows.one().get<std::int64_t>(0))
                          : std::string{rows.command_tag()};
}

/// The next answer as a text.
inline std::string told(pipeline& pipe) {
  auto answer = pipe.next();
  return answer ? told(*answer) : "nothing";
}

} // namespace troupe::tests
