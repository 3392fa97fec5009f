#include "http/rate_limit.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <iterator>
#include <netinet/in.h>

namespace troupe::http {

std::string caller_of(const std::string& address) {
  in6_addr bytes{};
  if (::inet_pton(AF_INET6, address.c_str(), &bytes) != 1 || IN6_IS_ADDR_V4MAPPED(&bytes)
      || IN6_IS_ADDR_LOOPBACK(&bytes))
    return address;
  std::fill(std::begin(bytes.s6_addr) + 8, std::end(bytes.s6_addr), std::uint8_t{0});
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(AF_INET6, &bytes, text.data(), text.size());
  return std::string{text.data()} + "/64";
}

using std::chrono::ceil;
using std::chrono::seconds;

rate_limit::clock::time_point rate_limit::paid(const std::string& caller,
                                               clock::time_point now) const {
  const auto at = by_caller_.find(caller);
  return at == by_caller_.end() ? now : std::max(now, at->second->paid);
}

std::optional<seconds> rate_limit::must_wait(const std::string& caller,
                                             clock::time_point now) const {
  const auto free = paid(caller, now) - limits_.each * (limits_.burst - 1);
  if (free <= now)
    return std::nullopt;
  return ceil<seconds>(free - now);
}

void rate_limit::note(const std::string& caller, clock::time_point now) {
  // Uses under way when the limit was reached add no more than that.
  const auto then = std::min(paid(caller, now) + limits_.each, now + limits_.each * limits_.burst);
  if (const auto at = by_caller_.find(caller); at != by_caller_.end()) {
    at->second->paid = then;
    all_.splice(all_.end(), all_, at->second);
    return;
  }
  while (!all_.empty() && all_.size() >= limits_.callers) {
    by_caller_.erase(all_.front().caller);
    all_.pop_front();
  }
  all_.push_back({caller, then});
  by_caller_.emplace(caller, std::prev(all_.end()));
}

rate_limit::allowance rate_limit::allowance_of(const std::string& caller,
                                               clock::time_point now) const {
  const auto owed = paid(caller, now) - now;
  return {static_cast<int>((limits_.each * limits_.burst - owed) / limits_.each),
          ceil<seconds>(owed)};
}

std::string rate_fields(const rate_limits& limits, const rate_limit::allowance& now) {
  const auto window = ceil<seconds>(limits.each * limits.burst).count();
  return "RateLimit-Policy: \"caller\";q=" + std::to_string(limits.burst) + ";w="
         + std::to_string(window) + "\r\nRateLimit: \"caller\";r=" + std::to_string(now.left)
         + ";t=" + std::to_string(now.whole_in.count()) + "\r\n";
}

} // namespace troupe::http
