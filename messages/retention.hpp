// How long what is kept, and how far the cleaning of jobs has come. Values only.
#pragma once

#include "messages/asker.hpp"
#include "messages/job.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

namespace limits {
constexpr int retention_queues = 1000; ///< with ages of their own, that are told
constexpr std::chrono::milliseconds longest_age_of_jobs = std::chrono::hours{24 * 3650};
} // namespace limits

/// Of jobs that have ended, from their ends on; none: for ever.
struct job_ages {
  using age = std::optional<std::chrono::milliseconds>;
  std::string queue; ///< empty: of all that have none of their own
  age completed;
  age cancelled;
  age discarded;
};

/// Ids of a partition, which is looked through and dropped whole.
struct job_range {
  job_id first;
  job_id last;
};

struct retention_record {
  std::vector<job_ages> ages; ///< by queue; '' is the first
  bool more_queues = false;   ///< there are more than are told
  std::optional<timestamp> oldest_job;
  int partitions = 0; ///< of jobs
  /// What is being looked through, and up to which id it was.
  struct look {
    job_range ids;
    job_id to;
  };
  std::optional<look> looking;
  std::optional<timestamp> next_look; ///< at what had too many jobs that stay
  /// When jobs were dropped the last time, how many, and how many of these ids were moved and stay.
  struct drop {
    timestamp at;
    job_range ids;
    std::int64_t dropped = 0;
    std::int64_t kept = 0;
  };
  std::optional<drop> last_drop;
  /// What is no job's, and goes by its age.
  struct thing {
    std::string name;
    std::chrono::milliseconds age;
    std::optional<timestamp> oldest; ///< none: there is nothing of it
  };
  std::vector<thing> others;
};

struct get_retention {};
/// Changes the ages that are given; the answer is what holds of the queue afterwards. The first
/// change of a queue begins with the ages of all others.
struct change_ages {
  std::string queue; ///< empty: of all that have none of their own
  std::optional<job_ages::age> completed = {};
  std::optional<job_ages::age> cancelled = {};
  std::optional<job_ages::age> discarded = {};
  asker by = {};
};
/// The queue's ages are those of all others again, which are the answer; errc::not_found when it
/// had none of its own.
struct forget_ages {
  std::string queue;
  asker by = {};
};

} // namespace troupe
