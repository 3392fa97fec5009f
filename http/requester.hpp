// The engine as HTTP sees it: a question in, one answer out. bridge.cpp implements it over actors;
// tests answer canned values.
#pragma once

#include "messages/requests.hpp"

#include <functional>

namespace troupe::http {

class requester {
public:
  virtual ~requester() = default;
  /// Must not block. The callback comes once, from any thread. An implementation that drops it
  /// unanswered gives the client a 503.
  virtual void ask(api_request request, std::function<void(api_reply)> reply) = 0;
};

} // namespace troupe::http
