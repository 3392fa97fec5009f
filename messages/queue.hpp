// A queue as an operator sees and steers it, and what is asked about queues. Values only; what
// limits mean is in docs/queues.md.
#pragma once

#include "messages/asker.hpp"
#include "messages/job.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

namespace limits {
constexpr int max_concurrency = 1'000'000;
constexpr int max_rate = 1'000'000; ///< jobs, and burst
constexpr std::chrono::milliseconds max_rate_period{std::chrono::hours{24}};
constexpr int max_waiting = 1'000'000'000;
constexpr std::size_t queue_page = 500; ///< queues in one page
/// Queues whose counts are in /metrics: the first by name.
constexpr int measured_queues = 100;
} // namespace limits

/// Jobs handed out in a period, on all nodes together; of these `burst` may come at once.
struct job_rate {
  int jobs = 1;
  std::chrono::milliseconds period{1000};
  int burst = 1;
};

struct queue_record {
  std::string name;
  std::optional<timestamp> paused_at;
  std::optional<int> concurrency;     ///< runs at once, on all nodes together; none: unlimited
  std::optional<job_rate> rate;       ///< none: unlimited
  std::optional<int> key_concurrency; ///< the same of the jobs of each limit_key
  std::optional<job_rate> key_rate;
  std::optional<int> max_waiting;      ///< beyond it nobody may enqueue; none: as many as come
  std::optional<timestamp> changed_at; ///< none: nobody has said anything of it yet
  std::int64_t version = 0;            ///< counts the changes
  std::int64_t waiting = 0;            ///< may run and are not handed out
  std::int64_t running = 0;            ///< handed out to nodes
  bool ordered = false;                ///< one job after the other, on all nodes together
};

/// In the order of their names. `next` is the name after which the next page starts.
struct queue_page {
  std::vector<queue_record> queues;
  std::optional<std::string> next;
};

/// How many jobs of a queue are in each state.
struct job_counts {
  std::string queue;
  std::int64_t scheduled = 0;
  std::int64_t available = 0;
  std::int64_t running = 0;
  std::int64_t retryable = 0;
  std::int64_t completed = 0;
  std::int64_t cancelled = 0;
  std::int64_t discarded = 0;
};
/// The states that jobs are counted by, in the order in which they are told.
inline constexpr std::array<std::pair<job_state, std::int64_t job_counts::*>, 7> counted_states{{
    {job_state::scheduled, &job_counts::scheduled},
    {job_state::available, &job_counts::available},
    {job_state::running, &job_counts::running},
    {job_state::retryable, &job_counts::retryable},
    {job_state::completed, &job_counts::completed},
    {job_state::cancelled, &job_counts::cancelled},
    {job_state::discarded, &job_counts::discarded},
}};

/// All of one moment, in the order of the queues' names; `next` as above.
struct counts_page {
  std::vector<job_counts> queues;
  std::optional<std::string> next;
};

/// A change is made only while the queue stands at one of these versions. Else errc::stale.
struct queue_versions {
  std::vector<std::int64_t> one_of;
  bool any = false; ///< at whatever version, if the queue is there at all
};

/// One queue; errc::not_found when it never had a job and nobody has said anything of it.
struct get_queue {
  std::string name;
};
struct list_queues {
  std::string after; ///< empty: from the first
  int limit = 100;
};
/// Pauses or resumes; the answer is the queue afterwards. What runs goes on.
struct pause_queue {
  std::string name;
  bool paused = true;
  std::optional<queue_versions> only_at = {}; ///< none: whatever its version
  asker by = {};
};
/// Changes what is given. An empty value in it: nothing limits the queue.
struct limit_queue {
  std::string name;
  std::optional<std::optional<int>> concurrency = {};
  std::optional<std::optional<job_rate>> rate = {};
  /// Of the jobs of each limit_key.
  std::optional<std::optional<int>> key_concurrency = {};
  std::optional<std::optional<job_rate>> key_rate = {};
  /// One job after the other, on all nodes together; excludes all limits but the rate.
  std::optional<bool> ordered = {};
  std::optional<std::optional<int>> max_waiting = {};
  std::optional<queue_versions> only_at = {}; ///< none: whatever its version
  asker by = {};
};
/// How many jobs are in each state: of one queue, which may be unknown, or of all by pages.
struct get_counts {
  std::string queue; ///< empty: all
  std::string after; ///< empty: from the first
  int limit = 100;
};

} // namespace troupe
