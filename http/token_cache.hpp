// Tokens that were found live a moment ago, by the hash of their secret, so that not every request
// asks the database. One thread's; time is given. A revocation that is told while a lookup is under
// way must not be overtaken by its answer: keep() takes the turn() from before the question.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace troupe::http {

/// Who asks, and what it may do.
struct token_identity {
  std::int64_t id = 0;
  std::string name;
  std::string role;
  std::vector<std::string> queues; ///< empty: all
};

struct token_cache_limits {
  std::size_t tokens = 4'096;           ///< at the limit the one kept first goes
  std::chrono::milliseconds kept{3000}; ///< how long a revocation that is not told may go unnoticed
};

class token_cache {
public:
  using clock = std::chrono::steady_clock;
  explicit token_cache(token_cache_limits limits = {}) : limits_(limits) {}

  /// Null: ask the database. Valid until the next call that is not const.
  const token_identity* find(const std::string& hash, clock::time_point now);
  /// Changes with every revocation.
  std::uint64_t turn() const { return turn_; }
  /// What was found live by a question that began in that turn, and until when it lives at most.
  /// Not kept when anything was revoked since.
  void keep(const std::string& hash, token_identity who,
            std::optional<std::chrono::milliseconds> left, std::uint64_t turn,
            clock::time_point now);
  /// It was revoked.
  void forget(std::int64_t id);
  /// Something may have been revoked and not been told: the listening session was lost.
  void forget_all();
  std::size_t size() const { return by_hash_.size(); }

private:
  struct kept {
    std::string hash;
    token_identity who;
    clock::time_point until;
  };
  using entry = std::list<kept>::iterator;
  void drop(entry which);

  token_cache_limits limits_;
  std::list<kept> all_; ///< kept first is first
  std::unordered_map<std::string, entry> by_hash_;
  std::uint64_t turn_ = 0;
};

} // namespace troupe::http
