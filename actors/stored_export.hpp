// Exports that are kept, over the actor system: each question is one statement through POOL.
#pragma once

#include "actors/work_protocol.hpp"
#include "messages/stored_export.hpp"

#include <caf/actor_system.hpp>

#include <memory>

namespace troupe {

/// Must not outlive the actor system.
std::unique_ptr<stored_export_port>
make_stored_export_port(caf::actor_system& system, work_peers work, export_bounds bounds = {});

} // namespace troupe
