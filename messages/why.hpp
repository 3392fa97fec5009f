// Why a job does not run: the one thing that holds it. docs/queues.md says what each reason means;
// the words are the database's (troupe.why) and the API's.
#pragma once

#include "messages/job.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe {

enum class hold_reason : std::uint8_t {
  finished,  ///< nothing: it has ended
  running,   ///< nothing: a node has it
  time,      ///< it is not due yet
  key_limit, ///< as many jobs of its limit_key run as may
  key_rate,  ///< what the rate of its limit_key allows is used up
  paused,    ///< its queue is paused
  limit,     ///< as many jobs of its queue run as may
  rate,      ///< what its queue's rate allows is used up
  no_node,   ///< no live node serves its queue
  lag,       ///< the nodes are late: with their heartbeats, or with jobs that are due
  turn,      ///< others go first
  next,      ///< nothing: the next claim takes it
  order,     ///< its queue is ordered, and the job before it has not ended yet
  no_kind,   ///< live nodes serve its queue, and none has its kind
};

std::string_view to_string(hold_reason reason);
std::optional<hold_reason> parse_hold_reason(std::string_view name);

/// What holds this job; errc::not_found.
struct explain_job {
  job_id id;
};

/// One reason, and the figures that belong to it; the others are empty.
struct job_hold {
  job_id id;
  job_state state = job_state::available;
  hold_reason reason = hold_reason::next;
  std::string queue;
  std::string kind;
  std::string limit_key;               ///< empty: none
  std::string node;                    ///< running, limit and order: who has it
  std::optional<timestamp> since;      ///< end, claim, pause, or the last heartbeat of any node
  std::optional<timestamp> due_at;     ///< time, key_rate, rate and order: not before
  std::optional<std::int64_t> allowed; ///< limit and key_limit
  std::optional<std::int64_t> in_use;
  std::optional<std::int64_t> ahead; ///< turn and the limits of keys: jobs that go first, about
  bool more_ahead = false;           ///< more than were counted
  int nodes = 0;                     ///< live ones that serve its queue
  std::string error;                 ///< of its last attempt
  std::optional<job_id> holder = {}; ///< order: the job that has not ended
};

} // namespace troupe
