// SCHEDULER: moves deferred jobs into their lanes when they are due. A timer, not a poll: told by
// SESSION, EXECUTOR and PULSE when the next one is due; every round asks the database for the next.
// Asks STORE; wakes EXECUTOR. Bound: batch jobs a round.
#pragma once

#include "messages/counters.hpp"
#include "messages/interfaces.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <chrono>
#include <optional>

namespace troupe {

using scheduler_impl =
    scheduler_actor::extend<caf::reacts_to<tick_atom, std::uint64_t>>; // INTERNAL: timer number N

struct scheduler_state {
  /// Declared, so that C++20 does not build the state from CAF's self pointer as an aggregate.
  scheduler_state() = default;

  static inline const char* name = "scheduler";
  static constexpr int batch = 1000;
  /// After a failed round.
  static constexpr std::chrono::milliseconds retry_pause{1000};
  /// No timer is longer: the two clocks drift apart, and a timer that is not needed any more stays
  /// with CAF until it fires.
  static constexpr std::chrono::milliseconds longest_timer{30'000};
  /// After a round in which something was due and nothing could be moved: another session holds it.
  static constexpr std::chrono::milliseconds blocked_pause{100};

  store_actor store;
  executor_actor executor;
  engine_counters* counters = nullptr;
  std::uint64_t timer = 0; ///< the armed one; older ones are ignored when they fire
  std::optional<std::chrono::steady_clock::time_point> armed_for;
  bool promoting = false;
  bool again = false; ///< something became due while a round was on its way
};

scheduler_impl::behavior_type scheduler(scheduler_impl::stateful_pointer<scheduler_state> self,
                                        store_actor store, executor_actor executor,
                                        engine_counters* counters);

} // namespace troupe
