// Tokens that were found live a moment ago, by the hash of their secret, so that not every request
// asks the database. One thread's; time is given. `turn` is a number that changes whenever
// something may have been revoked: what was found in another turn does not hold, also when its
// answer comes later.
#pragma once

#include "http/identity.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

namespace troupe::http {

/// See server_limits.
struct token_cache_limits {
  std::size_t tokens;
  std::chrono::milliseconds kept; ///< how long a revocation that is not told may go unnoticed
};

class token_cache {
public:
  using clock = std::chrono::steady_clock;
  explicit token_cache(token_cache_limits limits) : limits_(limits) {}

  /// Null: ask the database.
  identity_ptr find(const std::string& hash, std::uint64_t turn, clock::time_point now) const;
  /// It was live when it was looked up last, whether that still holds or not.
  bool knows(const std::string& hash) const { return by_hash_.contains(hash); }
  /// What was found live by a question that began in that turn, and until when it lives at most.
  void keep(const std::string& hash, identity_ptr who,
            std::optional<std::chrono::milliseconds> left, std::uint64_t turn,
            clock::time_point now);
  /// It is not live any more.
  void forget(const std::string& hash);
  std::size_t size() const { return by_hash_.size(); }

private:
  struct kept {
    std::string hash;
    identity_ptr who;
    std::uint64_t turn;
    clock::time_point until;
  };
  using entry = std::list<kept>::iterator;
  void drop(entry which);

  token_cache_limits limits_;
  std::list<kept> all_; ///< kept first is first
  std::unordered_map<std::string, entry> by_hash_;
};

} // namespace troupe::http
