// EXECUTOR: slots per queue on this node. Claims when slots free up, hands jobs to RUNNERs, gathers
// outcomes while the last batch of them is being written. Told by SESSION, PULSE, SCHEDULER and
// JANITOR where work is, which DISPATCHER hears as well; asks STORE; spawns RUNNERs.
// Bounds: slots and prefetch per queue, and as many outcomes that are not yet written; what is
// beyond counts as held, so a database that does not answer stops the claiming. max_queues queues.
#pragma once

#include "actors/held_permits.hpp"
#include "actors/job_report.hpp"
#include "actors/lease_book.hpp"
#include "actors/queue_slots.hpp"
#include "actors/work_protocol.hpp"
#include "messages/counters.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <unordered_map>

namespace troupe {

struct executor_options {
  /// Slots of the queues named here. 0: this node does not run the queue.
  std::map<std::string, int> queues;
  /// Slots of every other queue. Default: 16
  int default_slots = 16;
  /// Claimed ahead of the slots of one queue, at most.
  int prefetch = queue_slots::max_prefetch;
  /// For the transactions of runs. Filled before the first run; null: they have none.
  std::shared_ptr<const work_peers> work = {};
  /// A handler that goes on for so long after it was asked to stop is stuck. Default: 1 min
  std::chrono::milliseconds stuck_after{60'000};
};

using executor_impl =
    executor_actor::extend<caf::reacts_to<job_report>, // INTERNAL: a runner has something to tell
                                                       // INTERNAL: the rate of this queue allows a
                                                       // job now
                           caf::reacts_to<due_atom, std::string>,
                           caf::reacts_to<tick_atom>>; // INTERNAL: try to write outcomes again

struct executor_state {
  static inline const char* name = "executor";
  /// Queues one node keeps slots for; work in further ones waits for other nodes.
  static constexpr std::size_t max_queues = 10'000;
  /// Stuck handlers whose slots are given to others; further ones keep theirs.
  static constexpr std::size_t max_stuck = 64;

  struct queue_state {
    queue_state(int slots, int prefetch) : limits(slots, prefetch) {}
    queue_slots limits;
    held_permits permits;
    std::deque<assignment> backlog;      ///< claimed, not started
    std::deque<assignment> last_chances; ///< the same, and wait for another one's end
    int running = 0;
    int unwritten = 0;     ///< ended, outcome not yet in the database
    bool claiming = false; ///< a claim is on its way
    bool hungry = false;   ///< there may be work that we have not claimed
    bool fruitful = false; ///< a claim found jobs since NOTIFIER was told that there are none
    bool emptied = false;  ///< the last claim found nothing, and nothing limits the queue
    bool invited = false;  ///< INTAKE may bring jobs that start at once, or they are being stored
    bool rated = false;    ///< as the last claim said
    bool keyed = false;    ///< its keys are limited, or it is ordered: what ends makes room
    bool plenty = false;   ///< the last claim brought more than can run at once: its keys have room
    /// When a rate allows the next job; a timer is set.
    std::optional<std::chrono::steady_clock::time_point> due = {};
    /// Running or waiting here.
    int at_hand() const { return running + static_cast<int>(backlog.size() + last_chances.size()); }
    int held() const { return at_hand() + unwritten; }
    /// May run at once.
    int places() const { return std::min(limits.slots(), permits.allowed()); }
  };
  struct ended_run {
    finished_run run;
    queue_state* queue = nullptr;
    run_series* series = nullptr; ///< null: it did not run
    std::shared_ptr<span> traced; ///< null: it makes none
    std::chrono::steady_clock::time_point started;
    std::chrono::steady_clock::time_point finished;
    bool cancelled = false; ///< we were told that its outcome is written already
    bool replaced = false;  ///< its own result was refused
  };
  struct running_job {
    std::size_t runner = 0;
    bool cancelled = false;
  };

  executor_options options;
  store_actor store;
  scheduler_actor scheduler;
  intake_actor intake;
  notifier_actor notifier;       ///< null: nobody listens
  woken_actor dispatcher;        ///< null: nobody works by HTTP
  std::set<std::string> awaited; ///< queues of which it wants the next wake; max_queues at most
  handler_table_ptr handlers;
  engine_counters* counters = nullptr;

  node_id node;                              ///< 0 until PULSE has joined
  std::map<std::string, queue_state> queues; ///< never erased: ended runs point at their queue
  std::set<std::string> limited;             ///< queues of which we hold permits, or did
  std::vector<runner_actor> runners;
  std::vector<std::size_t> idle;
  std::set<std::size_t> stuck; ///< runners whose slot is another's
  std::unordered_map<job_id, running_job> running;
  /// A job that was lost twice runs here: one at a time, for of several that run when this node
  /// dies nobody could say which one killed it, and the third loss is the last.
  bool last_chance = false;
  int announced = 0; ///< starts of lost jobs that are being written
  lease_book leases;
  /// Leases the last pulse named that we do not hold, each with the last claim begun by then.
  std::unordered_map<lease_id, std::uint64_t> suspects;
  std::uint64_t last_claim = 0;
  std::set<std::uint64_t> claims; ///< on their way, by number
  int adoptions = 0;              ///< on their way

  std::size_t traced = 0;                   ///< spans of runs whose outcome is not stored yet
  std::vector<ended_run> ended;             ///< the next batch
  std::deque<std::vector<ended_run>> parts; ///< of a refused batch, to be written one by one
  bool writing = false;
  bool resting = false;   ///< before an unanswered batch is sent again
  int write_failures = 0; ///< in a row
  std::minstd_rand random{std::random_device{}()};

  bool quiet = false; ///< an operator drains this node, and may end that
  bool draining = false;
  bool halted = false;                        ///< what runs was asked to stop, for the engine ends
  std::vector<caf::response_promise> drained; ///< who waits for the end of the drain
  bool starts() const { return !quiet && !draining; }
};

executor_impl::behavior_type executor(executor_impl::stateful_pointer<executor_state> self,
                                      executor_options options, store_actor store,
                                      engine_counters* counters);

} // namespace troupe
