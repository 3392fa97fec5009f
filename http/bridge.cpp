// See bridge.hpp.
#include "http/bridge.hpp"

#include "messages/interfaces.hpp"

#include <caf/send.hpp>

#include <utility>

namespace troupe::http {

namespace {

class actor_bridge final : public requester {
public:
  explicit actor_bridge(gate_actor gate) : gate_(std::move(gate)) {}

  void ask(api_request request, std::function<void(api_reply)> reply) override {
    // Whoever drops the last copy of the call answers it with errc::stopping.
    caf::anon_send(gate_, std::make_shared<const api_call>(std::move(request), std::move(reply)));
  }

private:
  gate_actor gate_;
};

} // namespace

template<class Gate>
std::shared_ptr<requester> make_bridge(const Gate& gate) {
  return std::make_shared<actor_bridge>(gate);
}

template std::shared_ptr<requester> make_bridge<gate_actor>(const gate_actor&);

} // namespace troupe::http
