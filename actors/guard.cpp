#include "actors/guard.hpp"

namespace troupe {

failure to_failure(const caf::error& error) {
  if (error.category() == errc_category && error.code() <= static_cast<std::uint8_t>(last_errc)) {
    failure out{static_cast<errc>(error.code()), {}};
    if (error.context().match_elements<std::string>())
      out.detail = error.context().get_as<std::string>(0);
    return out;
  }
  if (error == caf::sec::request_receiver_down)
    return {errc::stopping, "the actor that should answer has ended"};
  if (error == caf::sec::request_timeout)
    return {errc::unavailable, "no answer in time"};
  return {errc::internal, caf::to_string(error)};
}

caf::error to_error(const db::db_failure& failure) {
  // Errors of our own functions (TR...) speak to the caller; the server's texts name tables and
  // values and are for the log.
  const bool ours = failure.sqlstate.rfind("TR", 0) == 0;
  if (ours)
    return make_error(failure.code, failure.message);
  return make_error(failure.code, "statement " + failure.statement + " failed"
                                      + (failure.sqlstate.empty() ? std::string{}
                                                                  : " (" + failure.sqlstate + ")"));
}

} // namespace troupe
