// DISPATCHER: claims of workers by HTTP. One that finds nothing in any of its queues waits; when
// EXECUTOR hears of work in one of them, the workers that wait longest claim again, one after the
// other, until one finds nothing; one that is to take no more says nothing of the queue, waits for
// its time to be over, and is not asked for again. While nothing happens nothing is asked: NOTIFIER
// sleeps on the queue for all of them. Asked by SESSION; asks WORK STORE; woken by EXECUTOR, of
// whom it wants the next wake of a queue before each claim there, so none is missed. Bound:
// max_waiting claims; beyond: errc::overloaded. They hold places of GATE's, which has more.
#pragma once

#include "actors/statement.hpp"
#include "messages/work_interfaces.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

namespace troupe {

struct dispatcher_options {
  std::size_t max_waiting = 512; ///< claims, also those that look for the first time
};

using dispatcher_impl = dispatcher_actor::extend<
    caf::reacts_to<tick_atom, std::uint64_t>, // INTERNAL: claim N has waited long enough
    caf::reacts_to<due_atom, std::string>>;   // INTERNAL: the rate of this queue allows a job now

struct dispatcher_state {
  static inline const char* name = "dispatcher";
  using time_point = std::chrono::steady_clock::time_point;

  struct waiter {
    claim_work asked;
    kept_promise<claimed_work> promise;
    time_point until;
    bool busy = true;     ///< a statement of its own is on its way
    bool expired = false; ///< meanwhile its time was over
  };
  struct queue_state {
    std::deque<std::uint64_t> waiting; ///< oldest first
    bool claiming = false;             ///< for one of them
    bool hungry = false;               ///< there may be work that none of them has looked for
    bool fruitful = true; ///< a claim found jobs since NOTIFIER was told that there are none
    /// When a rate allows the next job; a timer is set.
    std::optional<time_point> due = {};
  };

  dispatcher_options options;
  work_store_actor store;
  executor_actor executor;
  notifier_actor notifier; ///< null: nobody listens
  std::map<std::uint64_t, waiter> waiters;
  std::map<std::string, queue_state> queues; ///< those somebody waits for
  std::uint64_t last = 0;
  bool draining = false;
};

dispatcher_impl::behavior_type dispatcher(dispatcher_impl::stateful_pointer<dispatcher_state> self,
                                          dispatcher_options options, work_store_actor store,
                                          executor_actor executor);

} // namespace troupe
