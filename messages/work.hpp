// What workers by HTTP ask: a life of their own, claims, outcomes. Each request shows the secret
// that its life began with; errc::fenced when that life is over, or was never. Values only.
#pragma once

#include "messages/asker.hpp"
#include "messages/handler.hpp"
#include "messages/run_metrics.hpp"
#include "messages/run_reports.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

namespace limits {
constexpr std::size_t work_queues = 16;    ///< of one worker
constexpr std::size_t work_kinds = 1'000;  ///< of one worker
constexpr int work_slots = 1'000;          ///< jobs that one worker runs at once
constexpr std::size_t work_held = 10'000;  ///< jobs that one heartbeat names
constexpr int work_claim = 100;            ///< jobs of one claim
constexpr std::size_t work_finish = 100;   ///< outcomes in one request
constexpr std::size_t work_progress = 100; ///< in one request
constexpr std::size_t work_lines = 1'000;  ///< lines in one request
constexpr std::chrono::milliseconds work_wait{30'000};
constexpr std::chrono::milliseconds work_ago{3'600'000}; ///< a line may be so old
constexpr std::chrono::milliseconds least_lease{5'000};
constexpr std::chrono::milliseconds usual_lease{15'000};
constexpr std::chrono::milliseconds most_lease{600'000};
constexpr std::size_t version_length = 128;
constexpr int most_attempt = 32'767; ///< what the database can count
} // namespace limits

/// Whose life it is, as a request shows.
struct work_session {
  node_id node;
  std::string hash;                  ///< of its secret, 32 bytes of SHA-256
  std::optional<std::int64_t> token; ///< that the request came with; none: nobody was asked
};

struct join_worker {
  work_session by; ///< without the node
  std::string name;
  std::vector<std::string> queues;
  std::optional<std::vector<std::string>> kinds = {}; ///< none: not told
  int slots = 1;
  std::string version = {};                              ///< of its program; empty: not told
  std::chrono::milliseconds lease = limits::usual_lease; ///< silent for so long: dead
};
struct joined_worker {
  node_id node;
};

/// Up to `limit` jobs of the first queue that has some. With none, the answer waits for so long.
struct claim_work {
  work_session by;
  std::vector<std::string> queues;
  int limit = 1;
  std::chrono::milliseconds wait{0};
};
struct claimed_job {
  lease_id lease;
  job_id id;
  int attempt = 1;
  int max_attempts = 20;
  std::optional<std::chrono::milliseconds> timeout;
  std::string queue;
  std::string kind;
  std::string args; ///< JSON text
  int priority = 0;
  std::vector<std::string> tags;
  std::string limit_key;   ///< empty: none
  std::string traceparent; ///< of the request that put it in; empty: none
  timestamp created_at;
};
struct claimed_work {
  std::vector<claimed_job> jobs;
  std::optional<std::chrono::milliseconds> wait = {}; ///< as in claimed_jobs
  std::optional<bool> again = {};                     ///< the same
  bool quiet = false; ///< the worker is to take no more, so there is none whatever waits
};
/// One statement's worth of claim_work.
struct claim_queue {
  work_session by;
  std::string queue;
  int limit = 1;
};

/// How one run ended.
struct ended_work {
  lease_id lease;
  job_id id;
  int attempt = 1;
  /// Without retry_in a failed one is tried again as its job says.
  job_result result;
};
struct finish_work {
  work_session by;
  std::vector<ended_work> runs;
  bool tell = false; ///< also what a span says of them
};
/// The numbers are the database's (troupe.end_runs).
enum class work_fate : std::uint8_t {
  done = 0,      ///< it is written, by this call or by the same one before
  fenced = 1,    ///< the job is not this worker's any more; nothing was written
  cancelled = 2, ///< it was cancelled; nothing was written
};
/// What changes of a worker mean for others.
struct work_effects {
  std::optional<std::chrono::milliseconds> next_due; ///< of what was put off
  std::vector<std::string> steered;                  ///< queues in which there is room now
};
/// What a span says of a run.
struct told_work {
  job_id id;
  std::chrono::milliseconds took; ///< since it was handed out
  run_end how = run_end::completed;
  std::string queue;
  std::string kind;
  std::string traceparent; ///< as in claimed_job
};
struct finished_work {
  std::vector<work_fate> fates; ///< in the order told
  work_effects effects;
  /// With finish_work::tell: of the runs that were this worker's until now.
  std::vector<told_work> told = {};
};

struct beat_worker {
  work_session by;
  /// That it runs. What it was handed out and does not name goes back. None: it does not say.
  std::optional<std::vector<job_id>> jobs;
};
enum class work_wish : std::uint8_t {
  run,
  quiet,     ///< it gets no more, and finishes what it has
  terminate, ///< it gives back what it has, too
};
struct work_pulse {
  std::vector<job_id> cancelled;
  std::vector<job_id> lost; ///< not its own any more
  std::vector<job_id> put_back;
  work_wish wanted = work_wish::run;
  work_effects effects;
};

/// At most limits::log_lines and log_bytes of one attempt are kept.
struct report_work {
  work_session by;
  record_reports told;
};
struct reported_work {
  std::vector<job_id> fenced; ///< of which nothing was stored
  std::int64_t dropped = 0;   ///< lines beyond what is kept
};

/// Its life is over; what it held goes back at once.
struct leave_worker {
  work_session by;
};
struct left_worker {
  std::vector<job_id> put_back;
  work_effects effects;
};

/// errc::not_found when no worker of this id goes on.
struct steer_worker {
  node_id node;
  bool terminate = false;
  asker by = {};
};
struct steered_worker {
  node_id node;
};

} // namespace troupe
