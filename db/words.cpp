#include "db/words.hpp"

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

bool is_letter(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0;
}

char lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

} // namespace

std::string take_word(std::string_view& text) {
  text = skip_blank(text);
  std::string word;
  while (!text.empty() && is_letter(text.front())) {
    word += lower(text.front());
    text.remove_prefix(1);
  }
  return word;
}

bool begins_with(std::string_view text, std::string_view word) {
  text = skip_blank(text);
  for (const char c : word) {
    if (text.empty() || lower(text.front()) != c)
      return false;
    text.remove_prefix(1);
  }
  return text.empty() || !is_letter(text.front());
}

} // namespace troupe::db
