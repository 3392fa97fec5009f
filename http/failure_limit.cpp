#include "http/failure_limit.hpp"

#include <algorithm>
#include <iterator>

namespace troupe::http {

std::optional<std::chrono::seconds> failure_limit::must_wait(const std::string& address,
                                                             clock::time_point now) const {
  const auto at = by_address_.find(address);
  if (at == by_address_.end())
    return std::nullopt;
  const auto free = at->second->paid - limits_.each * (limits_.burst - 1);
  if (free <= now)
    return std::nullopt;
  return std::chrono::ceil<std::chrono::seconds>(free - now);
}

void failure_limit::note(const std::string& address, clock::time_point now) {
  auto paid = now;
  if (const auto at = by_address_.find(address); at != by_address_.end()) {
    paid = std::max(paid, at->second->paid);
    all_.erase(at->second);
    by_address_.erase(at);
  }
  // Requests under way when the limit was reached add no more than that.
  paid = std::min(paid + limits_.each, now + limits_.each * limits_.burst);
  while (!all_.empty() && all_.size() >= limits_.addresses) {
    by_address_.erase(all_.front().address);
    all_.pop_front();
  }
  all_.push_back({address, paid});
  by_address_.emplace(address, std::prev(all_.end()));
}

} // namespace troupe::http
