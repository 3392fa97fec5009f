// Which of a user's statements one connection keeps prepared: those that it is sent for the second
// time. For connection. Bounds: max_kept statements, max_text bytes each; once there are so many,
// others are parsed each time until all are dropped.
#pragma once

#include "db/query.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>

namespace troupe::db {

class kept_statements {
public:
  static constexpr std::size_t max_kept = 128;
  static constexpr std::size_t max_text = 16 * 1024;

  /// What it is prepared under; null: it is parsed each time.
  statement_ptr find(const query& what);
  bool full() const { return kept_.size() >= max_kept; }
  void clear() { kept_.clear(); }

private:
  std::unordered_map<std::string, statement_ptr> kept_; ///< by text and types of the parameters
  std::array<std::size_t, 1024> seen_{};                ///< hashes of what was sent before
  std::uint64_t last_ = 0;
};

} // namespace troupe::db
