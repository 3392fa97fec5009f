// A queue as an operator sees and steers it. Values only; what limits mean is in docs/queues.md.
#pragma once

#include "messages/job.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

namespace limits {
constexpr int max_concurrency = 1'000'000;
constexpr int max_rate = 1'000'000; ///< jobs, and burst
constexpr std::chrono::milliseconds max_rate_period{std::chrono::hours{24}};
constexpr std::size_t queue_page = 500; ///< queues in one page
/// Waiting jobs of a queue are counted so far and no further.
constexpr int counted_waiting = 10'000;
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
  std::optional<timestamp> changed_at; ///< none: nobody has said anything of it yet
  std::int64_t version = 0;            ///< counts the changes
  std::int64_t waiting = 0;            ///< may run and are not handed out
  bool more_waiting = false;           ///< more than limits::counted_waiting
  std::int64_t running = 0;            ///< handed out to nodes
  bool ordered = false;                ///< one job after the other, on all nodes together
};

/// In the order of their names. `next` is the name after which the next page starts.
struct queue_page {
  std::vector<queue_record> queues;
  std::optional<std::string> next;
};

} // namespace troupe
