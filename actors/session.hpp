// SESSION: serves one request in domain terms, answers once, and ends. Spawned by GATE; knows
// INTAKE, LOOKUP, DISPATCHER, DOCTOR, STORE and WORK STORE, and tells EXECUTOR, SCHEDULER and
// JANITOR what the request means for them. It links to nobody and nobody long-lived monitors it
// (0.17.6 would leak the entry).
#pragma once

#include "actors/doctor.hpp"
#include "messages/counters.hpp"
#include "messages/work_interfaces.hpp"

#include <caf/event_based_actor.hpp>

namespace troupe {

/// Whom a SESSION may need. Handles only; cheap to copy.
struct session_peers {
  intake_actor intake;
  store_actor store;
  lookup_actor lookup;
  executor_actor executor;
  janitor_actor janitor;
  engine_counters* counters = nullptr;
  work_store_actor work = {};
  dispatcher_actor dispatcher = {};
  scheduler_actor scheduler = {};
  doctor_actor doctor = {};
};

/// Whoever spawns it has counted it in requests_in_flight; it uncounts itself when it ends.
void serve_request(caf::event_based_actor* self, const api_call_ptr& call, session_peers peers);

} // namespace troupe
