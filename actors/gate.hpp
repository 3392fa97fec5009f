// GATE: the way in, for HTTP and for the embedding program. Spawns one SESSION per request and
// bounds how many there are: above it, errc::overloaded at once.
#pragma once

#include "actors/session.hpp"

#include <caf/typed_event_based_actor.hpp>

namespace troupe {

struct gate_options {
  /// Requests served at the same time. Default: 1024
  std::size_t max_requests = 1024;
};

gate_actor::behavior_type gate(gate_actor::pointer self, gate_options options,
                               const session_peers& peers);

} // namespace troupe
