// HEALTH MONITOR: asks the database once in a while, looks at the counters, and publishes the
// verdict on the health board, so that probes cost nothing. Asks STORE. Written for: /readyz,
// /api/v1/health. One question at a time is on its way; a database that does not answer it within
// `patience` is failing, and what it said before stays on the board with its age.
#pragma once

#include "actors/health_checks.hpp"
#include "messages/interfaces.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <functional>

namespace troupe {

using health_monitor_actor =
    caf::typed_actor<caf::reacts_to<tick_atom>,                 // INTERNAL: check now
                     caf::reacts_to<tick_atom, std::uint64_t>>; // INTERNAL: question N is late

struct health_monitor_options {
  using milliseconds = std::chrono::milliseconds;
  /// Between checks while all is well, while something is degraded, and while something fails.
  milliseconds calm_interval{5000};
  milliseconds wary_interval{1000};
  milliseconds tense_interval{100};
  /// How long the database may think about its answer.
  milliseconds patience{1500};
  health_limits limits;
  /// Of the private server's disk; runs on an actor's thread and must not wait. None: no check.
  std::function<std::optional<disk_space>()> disk;
  /// What is to be said of the certificate of TLS; likewise.
  std::function<health_check()> certificate;
};

struct health_monitor_state {
  static inline const char* name = "health monitor";
  using time_point = std::chrono::steady_clock::time_point; // of the actor's clock

  health_monitor_options options;
  store_actor store;
  const engine_counters* counters = nullptr;
  const database_metrics* metrics = nullptr;
  std::shared_ptr<health_board> board;

  health_check database;          ///< the last round trip
  std::vector<health_check> said; ///< judged from the last answer
  std::uint64_t questions = 0;
  std::optional<time_point> asked_at; ///< of the question on its way
  pool_watch pool;
  heartbeat_watch heartbeat;
  executor_watch executor;
  bool ticking = false; ///< a tick is on its way
  bool was_ready = false;
};

/// `counters` and `metrics` outlive the actor; null metrics: nobody measures.
health_monitor_actor::behavior_type
health_monitor(health_monitor_actor::stateful_pointer<health_monitor_state> self,
               health_monitor_options options, store_actor store, const engine_counters* counters,
               const database_metrics* metrics, std::shared_ptr<health_board> board);

} // namespace troupe
