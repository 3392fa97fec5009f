// Operations on many jobs, and the edit of one that waits. docs/bulk.md says what each action does;
// the words are the database's (troupe.bulk) and the API's.
#pragma once

#include "messages/asker.hpp"
#include "messages/job.hpp"
#include "messages/key_use.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

namespace limits {
constexpr std::size_t bulk_ids = 10'000; ///< named in one operation
constexpr int bulk_step_jobs = 1000;     ///< of an operation in one transaction
constexpr std::size_t bulk_page = 100;   ///< operations in one page
/// A preview counts so far and no further.
constexpr int bulk_counted = 10'000;
} // namespace limits

enum class bulk_action : std::uint8_t { cancel, retry, remove, move, reprioritise };

/// `remove` is spelled "delete".
std::string_view to_string(bulk_action action);
std::optional<bulk_action> parse_bulk_action(std::string_view name);

struct bulk_request {
  bulk_action action = bulk_action::cancel;
  job_filter filter = {};
  bool all = false;                           ///< what an otherwise empty filter has to say
  std::vector<job_id> ids = {};               ///< instead of a filter
  std::optional<std::string> to_queue = {};   ///< move
  std::optional<int> to_priority = {};        ///< reprioritise, and move
  std::optional<std::string> created_by = {}; ///< none: the database's user
};

/// Stores the operation; whoever has time takes its steps. errc::invalid_argument;
/// errc::conflict when too many are running.
struct start_bulk {
  bulk_request what;
  asker by = {};
  std::string key = {}; ///< of idempotency; empty: none
};
/// What it would meet now. Changes nothing.
struct preview_bulk {
  bulk_request what;
};
struct bulk_preview {
  std::int64_t matched = 0;
  bool more = false;          ///< at least so many
  std::vector<job_id> sample; ///< the first ones, ten at most
};

/// One operation; errc::not_found.
struct get_bulk {
  std::int64_t id = 0;
};
/// A page of operations, newest first.
struct list_bulks {
  std::int64_t before = 0; ///< 0: from the newest
  int limit = 50;
};
/// Nothing more of it is done; errc::conflict when it is over. The answer is the operation.
struct cancel_bulk {
  std::int64_t id = 0;
  asker by = {};
};

struct bulk_record {
  std::int64_t id = 0;
  std::string action;
  std::string state;    ///< running, done, cancelled
  std::string filter;   ///< JSON text
  std::int64_t ids = 0; ///< how many were named; 0: the filter says
  std::optional<std::string> to_queue;
  std::optional<int> to_priority;
  std::string created_by;
  timestamp created_at;
  std::optional<timestamp> ended_at;
  std::int64_t matched = 0; ///< = changed + skipped
  std::int64_t changed = 0;
  std::int64_t skipped = 0; ///< no longer as they were, in a node's hands, or in the way of a key
  std::int64_t reached = 0; ///< jobs up to this id were met,
  std::int64_t up_to = 0;   ///< of those up to this one
  int failures = 0;         ///< steps that were undone since the last one that was not
  std::string error;        ///< of the last step; empty: none
  /// Of the request that begins it. Refused: it is no operation, and all else is empty.
  key_use use = key_use::none;
};
struct bulk_page {
  std::vector<bulk_record> operations;
  std::optional<std::int64_t> next; ///< the id below which the next page starts
};

/// One step of one operation, by whoever has time.
struct step_bulk {};
struct stepped_bulk {
  std::int64_t id = 0; ///< 0: there is nothing to be done
  std::string action;
  std::string state;
  std::int64_t matched = 0;
  std::int64_t changed = 0;
  std::vector<std::string> queues; ///< where work may wait now
  std::vector<job_id> running;     ///< cancelled, and told to nobody yet
  std::string error;               ///< this step was undone
};

/// Changes what is given of a job that waits; errc::conflict when it does not, or when its unique
/// key would be another job's. The answer is the job afterwards.
struct edit_job {
  job_id id;
  std::optional<std::string> args = {}; ///< JSON text
  std::optional<int> priority = {};
  std::optional<std::string> queue = {};
  std::optional<int> max_attempts = {};
  std::optional<std::optional<std::chrono::milliseconds>> timeout = {}; ///< empty: none
  std::optional<std::vector<std::string>> tags = {};
  std::optional<std::optional<timestamp>> run_at = {}; ///< empty: now
  asker by = {};
};

} // namespace troupe
