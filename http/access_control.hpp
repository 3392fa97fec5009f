// Who asks, and may it? Decided from the head of a request, before its body is read: the token
// (found by the engine, remembered for a moment), the role that its route needs, and the queues it
// is for. What only the body says, a route's handler looks at itself (queue_scope::body). Nothing
// here prints or keeps a secret, only hashes. Loop thread only.
#pragma once

#include "http/bearer_token.hpp"
#include "http/net.hpp"
#include "http/rate_limit.hpp"
#include "http/requester.hpp"
#include "http/router.hpp"
#include "http/token_cache.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace troupe::http {

struct access_limits {
  token_cache_limits tokens;
  rate_limits failures; ///< callers are addresses
};

class access_control : public std::enable_shared_from_this<access_control> {
public:
  struct verdict {
    identity_ptr who;                ///< goes on; null when nobody was asked
    std::optional<response> refused; ///< or what to answer instead
  };
  using receiver = std::function<void(verdict)>;
  struct question {
    const route* what = nullptr; ///< of static storage, or outlives the answer
    std::string param;
    std::string_view query; ///< these two are looked at before judge() returns
    const request_head* head = nullptr;
    std::string address; ///< where it came from
  };

  /// `changes` outlives this: it changes whenever a token may have been revoked.
  access_control(executor loop, std::shared_ptr<requester> ask,
                 const std::atomic<std::uint64_t>& changes, const access_limits& limits)
      : loop_(std::move(loop)), ask_(std::move(ask)), changes_(changes), cache_(limits.tokens),
        failures_(limits.failures) {}
  access_control(const access_control&) = delete;
  access_control& operator=(const access_control&) = delete;

  /// At once; or nothing, and `later` comes once, on the loop.
  std::optional<verdict> judge(const question& asked, receiver later);

private:
  using clock = std::chrono::steady_clock;
  /// What is left to be looked at when it is known whose token it is.
  struct wish {
    const route* what;
    std::string param;
    std::optional<std::string> queue; ///< that the query names
    std::string address;
    receiver later;
  };

  std::optional<verdict> permit(const identity_ptr& who, wish what);
  std::optional<verdict> permit_job(const identity_ptr& who, wish what);
  std::optional<response> presented(const request_head& head, const std::string& address,
                                    std::optional<bearer_token>& token);
  void look_up(const std::string& hash, wish what);
  void found(const std::string& hash, std::uint64_t turn, const api_reply& reply);
  response not_live(const std::string& address, std::string_view code, std::string detail);
  /// The question's answer, or that there is none, as a task of the loop.
  void ask(api_request request, std::function<void(const api_reply&)> then);

  executor loop_;
  std::shared_ptr<requester> ask_;
  const std::atomic<std::uint64_t>& changes_;
  token_cache cache_;
  rate_limit failures_;
  /// By hash: who waits for what the engine says. As many as there are connections at most.
  std::unordered_map<std::string, std::vector<wish>> waiting_;
};

} // namespace troupe::http
