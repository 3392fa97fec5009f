#include "http/token_cache.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace troupe::http {

void token_cache::drop(entry which) {
  by_hash_.erase(which->hash);
  all_.erase(which);
}

const token_identity* token_cache::find(const std::string& hash, clock::time_point now) {
  const auto at = by_hash_.find(hash);
  if (at == by_hash_.end())
    return nullptr;
  if (at->second->until > now)
    return &at->second->who;
  drop(at->second);
  return nullptr;
}

void token_cache::keep(const std::string& hash, token_identity who,
                       std::optional<std::chrono::milliseconds> left, std::uint64_t turn,
                       clock::time_point now) {
  if (turn != turn_ || limits_.tokens == 0)
    return;
  const auto until = now + std::min(limits_.kept, left.value_or(limits_.kept));
  if (const auto at = by_hash_.find(hash); at != by_hash_.end())
    drop(at->second);
  while (all_.size() >= limits_.tokens)
    drop(all_.begin());
  all_.push_back({hash, std::move(who), until});
  by_hash_.emplace(hash, std::prev(all_.end()));
}

void token_cache::forget(std::int64_t id) {
  ++turn_;
  for (auto each = all_.begin(); each != all_.end();) {
    const auto here = each++;
    if (here->who.id == id)
      drop(here);
  }
}

void token_cache::forget_all() {
  ++turn_;
  by_hash_.clear();
  all_.clear();
}

} // namespace troupe::http
