// How often one address may show a token that opens nothing. Each address has a number of failures
// to spend, which comes back with time. One thread's; time is given.
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

namespace troupe::http {

/// See server_limits.
struct failure_limits {
  int burst;                      ///< failures at once
  std::chrono::milliseconds each; ///< one comes back
  std::size_t addresses;
};

class failure_limit {
public:
  using clock = std::chrono::steady_clock;
  explicit failure_limit(failure_limits limits) : limits_(limits) {}

  /// Nothing: it may try. Else in how many seconds it may again, at least 1.
  std::optional<std::chrono::seconds> must_wait(const std::string& address,
                                                clock::time_point now) const;
  void note(const std::string& address, clock::time_point now);
  std::size_t size() const { return by_address_.size(); }

private:
  /// All is forgiven at this time; each failure moves it on by `each`.
  struct debt {
    std::string address;
    clock::time_point paid;
  };
  failure_limits limits_;
  std::list<debt> all_; ///< failed longest ago is first
  std::unordered_map<std::string, std::list<debt>::iterator> by_address_;
};

} // namespace troupe::http
