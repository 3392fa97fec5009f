// Schedules the actors, and has their idle threads wait for the database's sockets: an answer of
// PostgreSQL wakes the very thread that takes it through CONNECTION to who asked, with nothing
// handed from thread to thread on the way. Made for the engine's actor system, by the engine.
#pragma once

#include "launcher/readiness.hpp"

namespace caf {
class actor_system_config;
} // namespace caf

namespace troupe {

/// For the system made of `config`. Its threads alone wait in `sockets`, which outlives it.
void use_socket_scheduler(caf::actor_system_config& config, readiness& sockets);

} // namespace troupe
