#include "http/token_cache.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace troupe::http {

void token_cache::drop(entry which) {
  by_hash_.erase(which->hash);
  all_.erase(which);
}

identity_ptr token_cache::find(const std::string& hash, std::uint64_t turn,
                               clock::time_point now) const {
  const auto at = by_hash_.find(hash);
  if (at == by_hash_.end() || at->second->turn != turn || at->second->until <= now)
    return nullptr;
  return at->second->who;
}

void token_cache::keep(const std::string& hash, identity_ptr who,
                       std::optional<std::chrono::milliseconds> left, std::uint64_t turn,
                       clock::time_point now) {
  forget(hash);
  if (limits_.tokens == 0)
    return;
  while (all_.size() >= limits_.tokens)
    drop(all_.begin());
  const auto until = now + std::min(limits_.kept, left.value_or(limits_.kept));
  all_.push_back({hash, std::move(who), turn, until});
  by_hash_.emplace(hash, std::prev(all_.end()));
}

void token_cache::forget(const std::string& hash) {
  if (const auto at = by_hash_.find(hash); at != by_hash_.end())
    drop(at->second);
}

} // namespace troupe::http
