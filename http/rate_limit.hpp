// How often one caller may do something: so often at once, and once more each time that passes.
// One thread's; time is given.
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

namespace troupe::http {

struct rate_limits {
  int burst;                     ///< at once
  std::chrono::nanoseconds each; ///< one comes back
  std::size_t callers;           ///< remembered; at the limit whoever did it longest ago goes
};

/// Who counts as one by an address: of IPv6 its first half, since whoever has one address has all
/// that begin so; of all else the text itself.
std::string caller_of(const std::string& address);

class rate_limit {
public:
  using clock = std::chrono::steady_clock;
  explicit rate_limit(rate_limits limits) : limits_(limits) {}

  /// Nothing: the caller may do it now. Else in how many seconds, at least 1.
  std::optional<std::chrono::seconds> must_wait(const std::string& caller,
                                                clock::time_point now) const;
  void note(const std::string& caller, clock::time_point now);

  struct allowance {
    int left;                      ///< how often at once, now
    std::chrono::seconds whole_in; ///< until that is the burst again, rounded up
  };
  allowance allowance_of(const std::string& caller, clock::time_point now) const;
  const rate_limits& limits() const { return limits_; }
  std::size_t size() const { return by_caller_.size(); }

private:
  /// All has come back at this time; each use moves it on by `each`.
  struct debt {
    std::string caller;
    clock::time_point paid;
  };
  clock::time_point paid(const std::string& caller, clock::time_point now) const;

  rate_limits limits_;
  std::list<debt> all_; ///< used longest ago is first
  std::unordered_map<std::string, std::list<debt>::iterator> by_caller_;
};

/// RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers, with their line ends.
std::string rate_fields(const rate_limits& limits, const rate_limit::allowance& now);

} // namespace troupe::http
