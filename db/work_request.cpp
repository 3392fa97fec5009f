#include "db/work_request.hpp"

#include "db/words.hpp"

#include <algorithm>
#include <array>

namespace troupe::db {

bool is_transaction_control(std::string_view text) {
  static constexpr std::array<std::string_view, 8> words{
      "begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"};
  const auto first = take_word(text);
  if (first == "prepare")
    return take_word(text) == "transaction";
  return std::find(words.begin(), words.end(), first) != words.end();
}

query as_stream(const query& what) {
  return what.with_statement(
      dynamic_statement{what.what().name, std::string{"declare troupe_stream no scroll cursor for "}
                                              + what.what().text});
}

query as_copy(const query& what) {
  return what.with_statement(dynamic_statement{"copy", "copy (" + std::string{what.what().text}
                                                           + ") to stdout (format binary)"});
}

bool is_loss(errc code) {
  return code == errc::unavailable || code == errc::outcome_unknown || code == errc::stopping;
}

} // namespace troupe::db
