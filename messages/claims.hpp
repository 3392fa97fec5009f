// How jobs come to the node that runs them: claims, adopted leases, jobs that are handed out as
// they are stored. EXECUTOR asks, STORE answers. Local to the process.
#pragma once

#include "messages/handler.hpp"
#include "messages/job.hpp"
#include "messages/requests.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

struct claim_jobs {
  node_id node;
  std::string queue;
  int limit = 1;
  /// Of a limited queue: what this node would run at once, and what it has claimed and not
  /// finished. None: it runs whatever it claims.
  std::optional<int> slots = {};
  int held = 0;
};
/// How many runs of a limited queue a node may have at once. Of two answers the one with the later
/// change is true.
struct run_permits {
  int count = 0;
  std::int64_t change = 0;
};
/// Takes over a lease of this node whose claim's answer was lost on the way.
struct adopt_lease {
  node_id node;
  lease_id lease;
};
/// A lease with its jobs; lease 0 means there was nothing to claim.
struct claimed_jobs {
  lease_id lease;
  std::vector<std::shared_ptr<job_run>> jobs; ///< RUNNER adds the stop token
  std::optional<run_permits> permits = {};    ///< what this node holds now; none: nothing limits it
  /// Until the queue's rate allows the next job. None: it has no rate.
  std::optional<std::chrono::milliseconds> wait = {};
  /// None: neither are the queue's keys limited nor is it ordered, so that no end of a run makes
  /// room for others. Else, and without jobs when nothing but revoked entries was met: whether to
  /// ask again at once.
  std::optional<bool> again = {};
};
/// Stores jobs as enqueue_jobs does, and hands them to the node in the same transaction when
/// nothing speaks against it: all of one queue, to run now, without keys of any sort.
struct enqueue_here {
  node_id node;
  enqueue_jobs_ptr asked;
};
struct enqueued_here {
  enqueued_jobs stored; ///< wakes no queue when the jobs were handed out
  claimed_jobs claimed; ///< lease 0: they are available as ever
};
/// One claimed job on its way to a RUNNER.
struct assignment {
  std::shared_ptr<job_run> run;
  lease_id lease;
  node_id node{};             ///< whose the lease is
  std::string trace_parent{}; ///< the span that put the job in; empty: none is known
};

} // namespace troupe
