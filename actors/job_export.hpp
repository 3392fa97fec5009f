// Exports of jobs over the actor system: each is a UNIT OF WORK of its own, whose COPY is read when
// the next piece is asked for.
#pragma once

#include "actors/work_protocol.hpp"
#include "messages/job_export.hpp"

#include <caf/actor_system.hpp>

#include <memory>

namespace troupe {

/// Pieces have 64 KiB, or are one larger job. A reader who asks nothing for 45 s loses the
/// transaction. The port must not outlive the actor system.
std::unique_ptr<export_port> make_export_port(caf::actor_system& system, work_peers work);

} // namespace troupe
