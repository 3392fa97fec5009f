#include "db/work_request.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace troupe::db {

namespace {

bool is_space(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}

/// What follows blanks, semicolons and comments, which nest.
std::string_view skip_blank(std::string_view text) {
  while (!text.empty()) {
    if (is_space(text.front()) || text.front() == ';') {
      text.remove_prefix(1);
    } else if (text.starts_with("--")) {
      const auto end = text.find_first_of("\r\n");
      text.remove_prefix(end == std::string_view::npos ? text.size() : end);
    } else if (text.starts_with("/*")) {
      int depth = 0;
      do {
        if (text.starts_with("/*") || text.starts_with("*/")) {
          depth += text.starts_with("/*") ? 1 : -1;
          text.remove_prefix(2);
        } else {
          text.remove_prefix(1);
        }
      } while (depth > 0 && !text.empty());
    } else {
      break;
    }
  }
  return text;
}

/// The first word in lower case; takes it off the text.
std::string take_word(std::string_view& text) {
  text = skip_blank(text);
  std::string word;
  while (!text.empty() && std::isalpha(static_cast<unsigned char>(text.front())) != 0) {
    word += static_cast<char>(std::tolower(static_cast<unsigned char>(text.front())));
    text.remove_prefix(1);
  }
  return word;
}

} // namespace

bool is_transaction_control(std::string_view text) {
  static constexpr std::array<std::string_view, 8> words{
      "begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"};
  const auto first = take_word(text);
  if (first == "prepare")
    return take_word(text) == "transaction";
  return std::find(words.begin(), words.end(), first) != words.end();
}

query as_stream(const query& what) {
  return what.with_statement(dynamic_statement{
      "stream", std::string{"declare troupe_stream no scroll cursor for "} + what.what().text});
}

bool is_loss(errc code) {
  return code == errc::unavailable || code == errc::outcome_unknown || code == errc::stopping;
}

} // namespace troupe::db
