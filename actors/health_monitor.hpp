// HEALTH MONITOR: asks the database once in a while, looks at the counters, and publishes the
// verdict on the health board, so that probes cost nothing. Asks STORE. Written for: /readyz,
// /api/v1/health.
#pragma once

#include "messages/counters.hpp"
#include "messages/health.hpp"
#include "messages/interfaces.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace troupe {

using health_monitor_actor = caf::typed_actor<caf::reacts_to<tick_atom>>; // INTERNAL: check now

struct health_monitor_options {
  /// Between checks while all is well, and while it is not.
  std::chrono::milliseconds calm_interval{5000};
  std::chrono::milliseconds tense_interval{100};
  /// A round trip above this is degraded.
  std::chrono::milliseconds slow_round_trip{500};
  /// A difference between the clocks above this is degraded.
  std::chrono::milliseconds clock_skew{2000};
  /// Heartbeats are answered once a second; without one for this long the node is at risk.
  std::chrono::milliseconds heartbeat_age{3000};
  int schema_version = 1;
};

struct health_monitor_state {
  static inline const char* name = "health monitor";
  health_monitor_options options;
  store_actor store;
  engine_counters* counters = nullptr;
  std::shared_ptr<health_board> board;
  std::uint64_t heartbeats = 0;                       ///< seen at the last check
  std::chrono::steady_clock::time_point heartbeat_at; ///< when that number last grew
  bool was_ready = false;
};

health_monitor_actor::behavior_type
health_monitor(health_monitor_actor::stateful_pointer<health_monitor_state> self,
               health_monitor_options options, store_actor store, engine_counters* counters,
               std::shared_ptr<health_board> board);

} // namespace troupe
