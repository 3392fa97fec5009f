// What the engine's own actors ask STORE and CRAWL STORE: a node's life, batches of work, crawls.
// One struct per question, so that an interface line reads "question -> answer". Local to the
// process.
#pragma once

#include "messages/claims.hpp"
#include "messages/crawl.hpp"
#include "messages/handler.hpp"
#include "messages/history.hpp"
#include "messages/job.hpp"
#include "messages/measures.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

// -- questions of the engine itself
// ----------------------------------------------------------------

struct join_node {
  std::string name;
  std::vector<std::string> skips = {};                 ///< queues it leaves to others
  std::optional<std::vector<std::string>> serves = {}; ///< none: all but these
  std::optional<std::vector<std::string>> kinds = {};  ///< it has handlers for; none: not told
  int slots = 0;                                       ///< of each queue that is not named here
  std::vector<std::string> slot_queues = {};
  std::vector<std::int32_t> queue_slots = {}; ///< of each of these
  bool draining = false;                      ///< its life before was drained, and that goes on
};
/// This life of the node is over: its row goes, its leases must be empty or are rescued at once.
struct leave_node {
  node_id node;
};

/// Several jobs with their attempts, for callers who asked at the same time.
struct get_jobs {
  std::vector<job_id> ids;
  std::vector<job_id> brief = {}; ///< those of them whose args nobody wants; see get_job
};
struct found_jobs {
  std::vector<job_record> jobs; ///< those that there are, in no order
};

/// "I am alive." The answer is what happened meanwhile.
struct beat {
  node_id node;
};
/// The most permits of a queue that a node keeps: others want some, or the limit was lowered.
struct permit_cap {
  std::string queue;
  int most = 0;
};
struct pulse {
  bool alive = false;              ///< false: the others declared this node dead; join anew
  std::vector<node_id> dead;       ///< nodes whose heartbeat is too old; rescue them
  std::vector<job_id> cancelled;   ///< jobs leased to this node with an outcome written by others
  std::vector<lease_id> leases;    ///< all leases of this node
  std::vector<std::string> queues; ///< queues in which work waits, but paused ones
  std::vector<std::string> paused; ///< queues of which nothing more is to be started
  std::vector<permit_cap> caps;
  bool draining = false; ///< an operator drains this node
  /// Until the next deferred job is due; none: nothing is deferred.
  std::optional<std::chrono::milliseconds> next_due;
};

/// Says, before it starts, that a job runs which was lost before: only then another loss counts.
/// The answer is false when the lease is gone.
struct start_run {
  node_id node;
  lease_id lease;
  job_id job;
};

/// One finished run, on its way into `attempt`.
struct finished_run {
  lease_id lease;
  job_id id;
  int attempt = 1;
  job_result result;
  std::chrono::milliseconds retry_in{0}; ///< backoff for a failed run, delay for a snoozed one
  std::chrono::milliseconds started_ago{0};
  std::chrono::milliseconds finished_ago{0};
};
/// Gives permits back: keeps `count` of them unless they have changed since `change`.
struct permits_kept {
  std::string queue;
  run_permits keep;
};
struct finish_runs {
  node_id node;
  std::vector<finished_run> runs;
  std::vector<lease_id> done; ///< leases whose last run is in `runs` or was in an earlier one
  std::vector<permits_kept> keep = {};
};
struct finished_runs {
  std::vector<job_id> fenced;            ///< whose outcome was not written: somebody was first
  bool deferred = false;                 ///< some wait for their next attempt
  std::vector<run_permits> permits = {}; ///< held now, one for each that was asked to be kept
};

/// Moves deferred jobs whose time has come into their lanes.
struct promote_due {
  int limit = 1000;
};
struct promoted_jobs {
  std::int64_t count = 0;
  std::vector<std::string> queues;
  std::optional<std::chrono::milliseconds> next_due;
};

/// Takes the leases of a dead node away: outcome `lost`, next attempt ready.
struct rescue_node {
  node_id node;
};
struct rescued_jobs {
  std::int64_t count = 0;
  std::int64_t quarantined = 0; ///< lost three times in a row, so discarded
  std::vector<std::string> queues;
  std::int64_t leases = 0; ///< that the node held
};

/// Housekeeping: partitions ahead, revocations that no cursor will meet any more, old keys.
struct upkeep {};
struct upkept {
  std::int64_t partitions_made = 0;
  std::int64_t revocations_dropped = 0;
  std::int64_t keys_dropped = 0;
  std::int64_t requests_dropped = 0;
  int partitions_dropped = 0; ///< of entries
};

/// One round trip, to know that the database answers and what it says of itself.
struct probe_database {};
struct database_probe {
  bool in_recovery = false;
  bool durable = true; ///< fsync, full_page_writes and synchronous_commit are on
  int schema_version = 0;
  timestamp now;                        ///< the database's clock
  bool read_only = false;               ///< new transactions may not write
  std::chrono::milliseconds overdue{0}; ///< how long the first deferred job could have run already
};

// -- questions of a crawl
// --------------------------------------------------------------------------

struct open_crawl {
  job_id crawl;
  crawl_spec spec;
};
struct get_crawl_spec {
  job_id crawl;
};
struct record_pages {
  std::vector<page_outcome> pages;
};
struct recorded_pages {
  std::vector<crawl_progress> crawls; ///< one per crawl that occurred
  bool queued = false;                ///< new page jobs are available
};
struct get_crawl_progress {
  job_id crawl;
};
struct close_crawl {
  job_id crawl;
};
struct list_items {
  job_id crawl;
  job_id after;
  int limit = 1000;
};
struct item_page {
  std::vector<item_record> items;
};

} // namespace troupe
