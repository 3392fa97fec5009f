#include "cli/exit_code.hpp"

namespace troupe::cli {

exit_code exit_code_of(errc code) {
  switch (code) {
  case errc::none:
    return exit_code::ok;
  case errc::not_found:
    return exit_code::not_found;
  case errc::conflict:
  case errc::fenced:
  case errc::stale:
    return exit_code::conflict;
  case errc::invalid_argument:
    return exit_code::usage;
  case errc::overloaded:
  case errc::unavailable:
  case errc::outcome_unknown:
  case errc::retry:
  case errc::stopping:
    return exit_code::unavailable;
  case errc::timed_out:
    return exit_code::timed_out;
  case errc::database:
  case errc::internal:
  case errc::aborted:
  case errc::too_large:
    break;
  }
  return exit_code::failed;
}

exit_code exit_code_of_status(long status) {
  switch (status) {
  case 400:
  case 413:
  case 414:
  case 415:
  case 422:
    return exit_code::usage;
  case 401:
  case 403:
    return exit_code::unauthorised;
  case 404:
    return exit_code::not_found;
  case 409:
  case 412:
    return exit_code::conflict;
  case 408:
  case 504:
    return exit_code::timed_out;
  case 429:
  case 502:
  case 503:
    return exit_code::unavailable;
  default:
    return status < 400 ? exit_code::ok : exit_code::failed;
  }
}

} // namespace troupe::cli
