// RUNNER: one running job at a time: starts the handler, watches its deadline, requests stop,
// reports its outcome once. Spawned and asked by EXECUTOR, which reuses it. The handler runs
// elsewhere or returns at once. One that goes on long after it was asked to stop is given up: its
// slot is free then, the runner only when it answers.
#pragma once

#include "actors/job_report.hpp"
#include "actors/run_work.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <set>
#include <stop_token>

namespace troupe {

/// How the transaction of a run ended.
struct run_ended {
  std::optional<failure> why; ///< none: it is committed, the outcome with it
  std::uint64_t generation;
};

} // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::run_ended)

namespace troupe {

using runner_impl =
    runner_actor::extend<caf::reacts_to<job_result, std::uint64_t>, // INTERNAL: the handler
                                                                    // answered run number N
                         caf::reacts_to<run_ended>,
                         caf::reacts_to<tick_atom>>; // INTERNAL: a timer has fired

struct runner_state {
  static inline const char* name = "runner";
  std::size_t number = 0;
  job_reports_actor executor;
  handler_table_ptr handlers;

  std::uint64_t generation = 0; ///< of the current run; older answers are ignored
  assignment current;           ///< run is null when idle
  std::stop_source stop;
  std::stop_source given_up;
  std::chrono::milliseconds stuck_after{}; ///< between the request to stop and giving up
  std::optional<std::chrono::steady_clock::time_point> stop_asked;
  std::chrono::steady_clock::time_point started;
  std::shared_ptr<const work_peers> peers; ///< null: runs have no transactions
  std::shared_ptr<run_work> work;
  run_reporter_ptr reporter;
  bool ending = false;                  ///< it has answered; what it said is on its way
  std::optional<job_result> committing; ///< on its way with the run's transaction
  bool reported = false;                ///< its outcome was sent at the deadline
  /// When timers fire. A run's deadline uses one that fires before it, if there is any: CAF keeps a
  /// timer until it fires, and short runs with long deadlines would pile them up.
  std::set<std::chrono::steady_clock::time_point> timers;
};

runner_impl::behavior_type runner(runner_impl::stateful_pointer<runner_state> self,
                                  std::size_t number, job_reports_actor executor,
                                  handler_table_ptr handlers,
                                  std::shared_ptr<const work_peers> peers,
                                  std::chrono::milliseconds stuck_after);

} // namespace troupe
