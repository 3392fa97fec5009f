#include "messages/errc.hpp"

namespace troupe {

std::string to_string(errc value) {
  switch (value) {
  case errc::none:
    return "none";
  case errc::not_found:
    return "not_found";
  case errc::conflict:
    return "conflict";
  case errc::invalid_argument:
    return "invalid_argument";
  case errc::overloaded:
    return "overloaded";
  case errc::unavailable:
    return "unavailable";
  case errc::outcome_unknown:
    return "outcome_unknown";
  case errc::timed_out:
    return "timed_out";
  case errc::retry:
    return "retry";
  case errc::database:
    return "database";
  case errc::fenced:
    return "fenced";
  case errc::stopping:
    return "stopping";
  case errc::internal:
    return "internal";
  case errc::aborted:
    return "aborted";
  case errc::stale:
    return "stale";
  case errc::too_large:
    return "too_large";
  }
  return "unknown";
}

} // namespace troupe
