// The one switch from errc to HTTP status, and whether trying again makes sense.
#include "http/problem.hpp"

namespace troupe::http {

namespace {

struct consequence {
  int status;
  bool retryable;
};

consequence consequence_of(errc code) {
  switch (code) {
  case errc::not_found:
    return {404, false};
  case errc::conflict:
  case errc::fenced:
    return {409, false};
  case errc::stale: // of what If-Match named
    return {412, false};
  case errc::invalid_argument:
    return {400, false};
  case errc::overloaded:
  case errc::unavailable:
  case errc::timed_out:
  case errc::retry:
  case errc::stopping:
    return {503, true};
  case errc::outcome_unknown: // it may have happened: a blind repetition could do it twice
    return {503, false};
  case errc::database:
  case errc::internal:
  case errc::aborted:
  case errc::too_large:
  case errc::none:
    break;
  }
  return {500, false};
}

} // namespace

problem to_problem(const failure& failed) {
  const auto [status, retryable] = consequence_of(failed.code);
  auto out = make_problem(status, to_string(failed.code), failed.detail);
  out.retryable = retryable;
  out.retry_after = retryable ? 1 : 0;
  return out;
}

} // namespace troupe::http
