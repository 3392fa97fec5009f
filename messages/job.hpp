// The values everybody speaks of: a job, what happened to it, and how one asks for jobs.
// Plain structs without behaviour; JSON is http's, rows are db's, actors carry them by value.
#pragma once

#include "messages/job_limits.hpp"
#include "messages/retry_policy.hpp"

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// A job's identity: PostgreSQL's bigint identity, from 1 upwards. Zero is "no job".
struct job_id { // NOLINT below: clang-tidy 14 takes the 0 in (a <=> b) < 0 for a pointer
  std::int64_t value = 0;
  friend auto operator<=>(const job_id&, const job_id&) = default; // NOLINT(modernize-use-nullptr)
};

/// One life of one node process. A node that starts again has a new id, so the id is the fence.
struct node_id {
  std::int64_t value = 0;
  friend auto operator<=>(const node_id&, const node_id&) = default;
};

/// One batch of jobs handed to one node. Gone means: whatever its holder still says is void.
struct lease_id {
  std::int64_t value = 0;
  friend auto operator<=>(const lease_id&, const lease_id&) = default;
};

/// UTC, in PostgreSQL's resolution. Always the database's clock.
using timestamp = std::chrono::sys_time<std::chrono::microseconds>;

/// The states of River and Oban. A state is derived from the rows, never stored.
enum class job_state : std::uint8_t {
  pending,   ///< waits for other jobs
  scheduled, ///< waits for its time
  available, ///< may run now
  running,   ///< handed to a node
  retryable, ///< failed, waits for its next attempt
  completed,
  cancelled,
  discarded, ///< failed for good
};

std::string_view to_string(job_state state);
/// The state of that name, or nothing.
std::optional<job_state> parse_job_state(std::string_view name);
bool is_final(job_state state);

/// How one attempt ended. The numbers are stored (troupe.attempt.outcome): never renumber.
enum class outcome : std::uint8_t {
  completed = 1,
  cancelled = 2,
  discarded = 3, ///< failed, and no attempt follows
  failed = 4,    ///< failed, and another attempt follows
  lost = 5,      ///< its node died; another attempt follows
};

std::string_view to_string(outcome value);

/// True for a queue or kind name that fits [A-Za-z0-9._:-]{1,128}.
bool is_valid_name(std::string_view name);

/// What becomes of a job whose unique key another one has.
enum class on_conflict : std::uint8_t {
  reject,   ///< errc::conflict, with the other's id
  existing, ///< the other one is the answer
  replace,  ///< the same, but while it waits it takes over what this one says
};

std::string_view to_string(on_conflict value);
std::optional<on_conflict> parse_on_conflict(std::string_view name);

/// At most one job of a key: of a kind always, and of what else is named here. docs/unique.md.
struct unique_rule {
  bool queue = false;                                   ///< and of one queue
  bool args = false;                                    ///< and of the same args
  std::vector<std::string> fields = {};                 ///< or of these top-level fields of them
  std::optional<std::chrono::milliseconds> period = {}; ///< and of one stretch of time so long
  /// In which states another job is in the way; empty: scheduled, available, running, retryable.
  std::vector<job_state> states = {};
  on_conflict conflict = on_conflict::reject;
};

/// What is wrong with the rule, as in find_fault(job_spec).
std::optional<std::string> find_fault(const unique_rule& rule);

/// True for an Idempotency-Key: 1 to 255 printable characters of ASCII.
bool is_valid_key(std::string_view key);

/// What a producer asks for.
struct job_spec {
  std::string kind;
  std::string queue = "default";
  std::string args = "{}"; ///< JSON text, passed through unparsed
  int priority = 0;
  int max_attempts = 20;
  std::optional<std::chrono::milliseconds> timeout = {}; ///< of one attempt; none means unlimited
  std::vector<std::string> tags = {};
  std::optional<timestamp> run_at = {};                ///< not before
  std::optional<std::chrono::milliseconds> delay = {}; ///< from the database's now; excludes run_at
  std::optional<unique_rule> unique = {};
  /// What a queue's limits per key count it under, see docs/queues.md; empty: nothing.
  std::string limit_key = {};
  std::optional<retry_policy> retry = {}; ///< none: as its kind says
  std::string traceparent = {}; ///< whose trace it belongs to (messages/trace.hpp); empty: nobody's
};

/// What is wrong with the policy, as in find_fault(job_spec).
std::optional<std::string> find_fault(const retry_policy& policy);

/// What is wrong with the spec, as a sentence that begins with the field's name; nothing when it
/// may be stored. Texts are not looked into: PostgreSQL refuses NUL, wrong UTF-8 and wrong JSON.
std::optional<std::string> find_fault(const job_spec& job);

/// One attempt, as it ended or as it runs.
struct attempt_record {
  int attempt = 1;
  std::optional<outcome> ended; ///< none while it runs
  std::string node;             ///< empty when nobody ran it (cancelled while waiting)
  std::optional<timestamp> started_at;
  std::optional<timestamp> finished_at;
  std::string result; ///< JSON text or empty
  std::string error;  ///< text for a person, or empty
};

/// How far a run is, as its handler said last. Outlives the run.
struct job_progress {
  std::optional<double> percent; ///< 0 to 100
  std::string message;
  int attempt = 1;
  timestamp updated_at;
};

/// A job with its derived state.
struct job_record {
  job_id id;
  std::string queue;
  std::string kind;
  int priority = 0;
  job_state state = job_state::available;
  std::string args; ///< JSON text
  int attempt = 0;  ///< the last one started; 0 before the first
  int max_attempts = 20;
  std::optional<std::chrono::milliseconds> timeout;
  std::vector<std::string> tags;
  std::string limit_key; ///< empty: none
  timestamp run_at;
  timestamp created_at;
  std::vector<attempt_record> attempts;      ///< only in answers about one job
  std::optional<job_progress> progress = {}; ///< the same
  std::optional<retry_policy> retry = {};    ///< the same; none: as its kind says
  std::string node = {};                     ///< that runs it; empty when it does not run
  std::optional<timestamp> started_at = {};  ///< when it was handed to that node
  std::string traceparent = {};              ///< only in answers about one job; empty: none
};

/// Jobs that fit all that is given; empty fields do not filter.
struct job_filter {
  std::optional<job_state> state = {};
  std::optional<std::string> queue = {};
  std::optional<std::string> kind = {};
  std::vector<std::string> tags = {}; ///< all of them
  std::optional<std::string> limit_key = {};
  std::optional<timestamp> created_from = {};   ///< then or later
  std::optional<timestamp> created_before = {}; ///< earlier than then
  std::string args = {}; ///< JSON text of an object that the job's args contain (jsonb's @>)
  friend auto operator<=>(const job_filter&, const job_filter&) = default; // NOLINT: as job_id
};

/// True when it asks for what no index knows: jobs are looked at one after the other.
bool is_searched(const job_filter& filter);

/// Jobs, newest first. `next`: below which id to go on, also where a search has found few or none.
struct job_page {
  std::vector<job_record> jobs;
  std::optional<job_id> next;
};

} // namespace troupe

template<>
struct std::hash<troupe::job_id> {
  std::size_t operator()(troupe::job_id id) const noexcept {
    return std::hash<std::int64_t>{}(id.value);
  }
};
template<>
struct std::hash<troupe::lease_id> {
  std::size_t operator()(troupe::lease_id id) const noexcept {
    return std::hash<std::int64_t>{}(id.value);
  }
};
