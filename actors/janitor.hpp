// JANITOR: takes the jobs of dead nodes back, makes partitions ahead, drops revocations that no
// cursor will meet any more, folds counts and publishes them, takes the steps of operations on many
// jobs. Told by PULSE of dead nodes, by SESSION of new operations; asks STORE; wakes EXECUTOR.
// Every node has one: the statements let one of several win.
#pragma once

#include "messages/counters.hpp"
#include "messages/interfaces.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace troupe {

using janitor_impl = janitor_actor::extend<caf::reacts_to<tick_atom>>; // INTERNAL: upkeep

struct janitor_state {
  /// Declared, so that C++20 does not build the state from CAF's self pointer as an aggregate.
  janitor_state() = default;

  static inline const char* name = "janitor";
  static constexpr std::chrono::milliseconds upkeep_interval{10'000};
  /// While there is history to be dropped.
  static constexpr std::chrono::milliseconds step_interval{1'000};

  store_actor store;
  executor_actor executor;
  engine_counters* counters = nullptr;
  bool stepping = false;  ///< a step of an operation is on its way
  bool measuring = false; ///< a question about measures is
};

janitor_impl::behavior_type janitor(janitor_impl::stateful_pointer<janitor_state> self,
                                    store_actor store, executor_actor executor,
                                    engine_counters* counters);

} // namespace troupe
