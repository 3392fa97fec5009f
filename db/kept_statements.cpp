#include "db/kept_statements.hpp"

#include "db/words.hpp"

#include <algorithm>
#include <cctype>
#include <functional>

namespace troupe::db {

namespace {

/// A star that stands for columns and not for rows or a product: what it gives changes with the
/// table, and a prepared statement whose columns have changed is refused.
bool gives_whatever_columns(std::string_view text) {
  static constexpr std::array<std::string_view, 6> before{".",        ",",   "select",
                                                          "distinct", "all", "returning"};
  std::string lower{text};
  for (auto& c : lower)
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (auto at = lower.find('*'); at != std::string::npos; at = lower.find('*', at + 1)) {
    const auto left = std::string_view{lower}.substr(0, lower.find_last_not_of(" \t\r\n*", at) + 1);
    if (std::any_of(before.begin(), before.end(),
                    [left](std::string_view end) { return left.ends_with(end); }))
      return true;
  }
  return false;
}

/// Other statements have no plan.
bool has_plan(std::string_view text) {
  static constexpr std::array<std::string_view, 6> words{"select", "insert", "update",
                                                         "delete", "with",   "values"};
  return std::find(words.begin(), words.end(), take_word(text)) != words.end();
}

} // namespace

statement_ptr kept_statements::find(const query& what) {
  std::string key = what.what().text;
  if (key.size() > max_text)
    return nullptr;
  for (const auto type : what.oids())
    key.append(1, '\0').append(std::to_string(type));
  if (const auto found = kept_.find(key); found != kept_.end())
    return found->second;
  const auto hash = std::hash<std::string>{}(key);
  auto& seen = seen_[hash % seen_.size()];
  if (seen != hash || full()) {
    seen = hash;
    return nullptr;
  }
  const std::string_view text = what.what().text;
  if (!has_plan(text) || gives_whatever_columns(text))
    return nullptr;
  return kept_.emplace(std::move(key), dynamic_statement::kept("user." + std::to_string(++last_)))
      .first->second;
}

} // namespace troupe::db
