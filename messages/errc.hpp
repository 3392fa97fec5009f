// The error codes that travel between actors, each with the sentence that says what happened.
// Zero means "no error" to CAF, so the first value is never sent. http/errors.cpp maps each to a
// status in one switch.
#pragma once

#include <cstdint>
#include <string>

namespace troupe {

enum class errc : std::uint8_t {
  none = 0,
  /// No job, crawl or queue has this id or name.
  not_found = 1,
  /// The object is in a state that does not allow the request.
  conflict,
  /// The request itself is wrong: a field is missing, malformed or out of its range.
  invalid_argument,
  /// A named bound was reached: waiting callers, requests in flight, queue length. Try again later.
  overloaded,
  /// No database connection could be had within the time allowed. Nothing was sent.
  unavailable,
  /// The connection broke after the statement was sent: it may or may not have been carried out.
  outcome_unknown,
  /// The statement ran longer than its limit and was cancelled by the server.
  timed_out,
  /// The database refused the statement for a reason that a retry may cure (deadlock,
  /// serialization).
  retry,
  /// The database refused the statement for a reason a retry does not cure.
  database,
  /// The lease is gone: another node owns the job now, and this outcome was not written.
  fenced,
  /// The engine is shutting down and takes no more work.
  stopping,
  /// A fault of our own: an exception reached an actor's guard, or a reply had the wrong shape.
  internal,
  /// The transaction was aborted by an earlier error, which the detail repeats: nothing is carried
  /// out before a rollback.
  aborted,
  /// Somebody else changed the row since it was read (optimistic conflict). Refresh and decide
  /// anew.
  stale,
  /// The answer is larger than a reply may be. Ask for fewer rows, or stream them.
  too_large,
};

/// The last value; what lies above it did not come from us.
constexpr errc last_errc = errc::too_large;

/// The enumerator's name, as logs and problem+json `code` show it.
std::string to_string(errc value);

/// An errc with the sentence for a person: which field, which limit, which state.
struct failure {
  errc code = errc::internal;
  std::string detail;
};

} // namespace troupe
