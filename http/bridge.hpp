// From HTTP to the actors: the only place of this room that knows CAF, and only in its .cpp. The
// bound on requests in flight is GATE's; above it GATE answers errc::overloaded.
#pragma once

#include "http/requester.hpp"

#include <memory>

namespace troupe::http {

/// Sends every question to GATE. `Gate` is troupe::gate_actor (messages/interfaces.hpp), the one
/// type this is instantiated for. A GATE that has ended answers errc::stopping.
template<class Gate>
std::shared_ptr<requester> make_bridge(const Gate& gate);

} // namespace troupe::http
