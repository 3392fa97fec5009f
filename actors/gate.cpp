#include "actors/gate.hpp"

#include "actors/guard.hpp"

namespace troupe {

gate_actor::behavior_type gate(gate_actor::pointer self, gate_options options,
                               const session_peers& peers) {
  return {
      guarded([=](const api_call_ptr& call) {
        if (peers.counters->requests_in_flight.load() >= options.max_requests) {
          call->answer(failure{errc::overloaded, "too many requests at the same time"});
          return;
        }
        // Here and not in the session: those of one burst begin to run later.
        ++peers.counters->requests_in_flight;
        self->spawn(serve_request, call, peers);
      }),
  };
}

} // namespace troupe
