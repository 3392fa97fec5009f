// One look at a server, as `troupe top` shows it, read from the HTTP answers. Pure; throws
// command_error when an answer is not what a Troupe server gives.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::cli {

struct queue_figures {
  std::string name;
  bool paused = false;
  std::int64_t scheduled = 0;
  std::int64_t available = 0;
  std::int64_t running = 0;
  std::int64_t retryable = 0;
  std::int64_t completed = 0;
  std::int64_t cancelled = 0;
  std::int64_t discarded = 0;

  std::int64_t all() const {
    return scheduled + available + running + retryable + completed + cancelled + discarded;
  }
};

struct run_details {
  std::string node;
  std::string progress; ///< "45%, half of it"; only a question about the job itself tells it
  std::optional<std::chrono::system_clock::time_point> started;
};

struct running_job {
  std::string id;
  std::string queue;
  std::string kind;
  std::string attempt;
  std::string max_attempts;
  run_details run;
};

/// The node that answers.
struct node_figures {
  std::string name;
  std::string version;
  std::string status;               ///< ok, degraded, failing
  std::vector<std::string> trouble; ///< checks that are not ok: "pool: callers wait"
  std::int64_t running = 0;         ///< slots taken
  std::int64_t stuck = 0;
  std::int64_t backlog = 0; ///< claimed ahead
};

/// One of all nodes.
struct node_line {
  std::string name;
  std::string state;
  std::int64_t running = 0; ///< handed out to it, also what it has claimed ahead
};

struct top_reading {
  std::chrono::steady_clock::time_point counted_at;
  std::chrono::system_clock::time_point taken_at;
  std::vector<queue_figures> queues; ///< by name
  bool more_queues = false;
  std::vector<running_job> running;
  bool more_running = false;
  node_figures node;
  std::vector<node_line> nodes; ///< by name; those whose lives are not over
  bool more_nodes = false;
};

/// A page of /api/v1/jobs/counts; the name after which the next one starts, or empty.
std::string add_counts(top_reading& to, std::string_view answer);
/// A page of /api/v1/queues: which are paused; likewise.
std::string add_pauses(top_reading& to, std::string_view answer);
/// The first page of /api/v1/jobs?state=running; the oldest run first.
void set_running(top_reading& to, std::string_view answer);
/// /api/v1/health.
void set_health(top_reading& to, std::string_view answer);
/// /metrics.
void set_metrics(top_reading& to, std::string_view text);
/// The first page of /api/v1/nodes.
void set_nodes(top_reading& to, std::string_view answer);
/// How far a run is, of /api/v1/jobs/{id}.
std::string read_progress(std::string_view answer);

/// How far runs are. Of those that are at it for a while few are asked for in one reading, those
/// first of which nothing is known, then those that were asked for longest ago.
class run_notes {
public:
  /// A younger run may be over before anybody has read how far it is.
  static constexpr std::chrono::seconds least_age{2};

  /// Ids of jobs to ask for, at most so many.
  std::vector<std::string> wanted(const top_reading& reading, std::size_t most) const;
  void keep(const running_job& job, std::string progress);
  /// Gives the reading's jobs what is known of them, and forgets all others.
  void apply(top_reading& to);

private:
  struct note {
    std::string progress;
    std::uint64_t asked = 0;
  };
  static std::string key_of(const running_job& job) { return job.id + "/" + job.attempt; }

  std::map<std::string, note> notes_;
  std::uint64_t questions_ = 0;
};

/// An RFC 3339 time in UTC.
std::optional<std::chrono::system_clock::time_point> read_time(std::string_view text);

} // namespace troupe::cli
