// The CAST: every long-lived actor of one engine, spawned in order and linked to one root, so that
// shutdown is one exit message and one that dies unexpectedly takes the engine down instead of
// leaving it half alive. Start reading the room here.
#pragma once

#include "actors/dispatcher.hpp"
#include "actors/executor.hpp"
#include "actors/gate.hpp"
#include "actors/health_monitor.hpp"
#include "actors/intake.hpp"
#include "actors/lookup.hpp"
#include "actors/notifier.hpp"
#include "actors/pool.hpp"
#include "actors/pulse.hpp"
#include "actors/recorder.hpp"

#include <caf/actor_system.hpp>

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::pulse_actor)

namespace troupe {

struct cast_options {
  pool_options pool;
  executor_options executor;
  pulse_options pulse;
  gate_options gate;
  intake_options intake;
  lookup_options lookup;
  dispatcher_options dispatcher;
  health_monitor_options health;
  std::optional<notifier_options> notifier; ///< none: through a pooler one cannot listen
  span_sink* spans = nullptr;               ///< of runs; null: they make none. Outlives the actors
};

/// ROOT: ends with the others, and the others with it.
using root_actor = caf::typed_actor<caf::reacts_to<pulse_actor>, // link this late-comer, too
                                    caf::reacts_to<notifier_actor>>;

struct cast {
  store_actor store;
  crawl_store_actor crawls;
  recorder_actor recorder;
  executor_actor executor;
  scheduler_actor scheduler;
  janitor_actor janitor;
  intake_actor intake;
  lookup_actor lookup;
  work_store_actor work_store;
  dispatcher_actor dispatcher;
  doctor_actor doctor;
  gate_actor gate;
  pulse_actor pulse;       ///< null until begin()
  notifier_actor notifier; ///< the same
  std::shared_ptr<const work_peers> work;
  root_actor root;
};

/// Spawns everybody but PULSE and NOTIFIER: requests are served, no job is claimed. `io` and
/// `counters` must outlive the actor system.
cast spawn_cast(caf::actor_system& system, const cast_options& options, io_loop& io,
                engine_counters& counters, std::shared_ptr<health_board> board);

/// Gives EXECUTOR its handlers (some of which need the stores) and spawns PULSE and NOTIFIER: the
/// node joins, claims and listens.
void begin(caf::actor_system& system, cast& all, const cast_options& options, io_loop& io,
           handler_table_ptr handlers, engine_counters& counters);

} // namespace troupe
