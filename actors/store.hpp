// STORE: domain questions to named statements, and rows to values. The only user of db's statements
// about jobs and nodes. Asked by SESSION, EXECUTOR, PULSE, SCHEDULER, JANITOR, HEALTH MONITOR.
// Holds no state: POOL bounds what is in flight.
#pragma once

#include "actors/pg_protocol.hpp"
#include "messages/interfaces.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <string>

namespace troupe {

/// What is said of one that is not there.
std::string no_such_job(job_id id);

store_actor::behavior_type store(store_actor::pointer self, const pool_actor& pool);

} // namespace troupe
