// DESK: knows every UNIT OF WORK, reminds each of the time, and ends them all with the engine.
// Units are spawned by whoever opens a session and enrol themselves. Bound: max_units; beyond it
// one that enrols is told errc::overloaded and ends.
#pragma once

#include "actors/work_protocol.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <unordered_map>

namespace troupe {

using work_desk_impl = work_desk_actor::extend<caf::reacts_to<tick_atom>>; // INTERNAL: remind

struct work_desk_state {
  work_desk_state() = default;

  static inline const char* name = "work desk";
  static constexpr std::size_t max_units = 10'000;
  /// How exactly a transaction's time limits are kept.
  static constexpr std::chrono::milliseconds reminder{250};

  std::unordered_map<std::uint64_t, unit_of_work_actor> units;
  std::uint64_t last_number = 0;
  bool reminding = false;
};

work_desk_impl::behavior_type work_desk(work_desk_impl::stateful_pointer<work_desk_state> self);

} // namespace troupe
