// What people and their programs have changed, as it was written down with each change.
#pragma once

#include "messages/job.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

namespace limits {
constexpr std::size_t audit_page = 500; ///< entries in one page
} // namespace limits

struct audit_record {
  std::int64_t id = 0;
  timestamp at;
  std::string who;                   ///< a token's name, or anyone
  std::optional<std::int64_t> token; ///< its id
  std::string action;                ///< "queue.pause"
  std::string subject;               ///< a job's, operation's or token's id, or a name
  std::string request_id;
  /// JSON: an object of what is not as before, each {"from": .., "to": ..}; nothing: the action
  /// says all. A job's args are only named.
  std::optional<std::string> changes;
};

/// A page of entries, newest first.
struct list_audit {
  std::int64_t before = 0; ///< 0: from the newest
  int limit = 100;
};
struct audit_page {
  std::vector<audit_record> entries;
  std::optional<std::int64_t> next; ///< the id below which the next page starts
};

} // namespace troupe
