// Which leases this node holds and how many of their runs are still out. Bookkeeping without
// actors: EXECUTOR asks it which leases a finish may close.
#pragma once

#include "messages/job.hpp"

#include <algorithm>
#include <unordered_map>
#include <vector>

namespace troupe {

class lease_book {
public:
  void opened(lease_id lease, std::size_t runs) { open_[lease] = runs; }
  /// One run of the lease has ended or was dropped; false when the lease is not ours (any more).
  bool ended(lease_id lease) {
    auto found = open_.find(lease);
    if (found == open_.end())
      return false;
    if (found->second != never && found->second > 0 && --found->second == 0)
      done_.push_back(lease);
    return true;
  }
  /// One outcome of the lease cannot be written: it is held until this life ends, and whoever
  /// rescues it runs the job again.
  void keep(lease_id lease) {
    std::erase(done_, lease);
    if (auto found = open_.find(lease); found != open_.end())
      found->second = never;
  }
  bool holds(lease_id lease) const { return open_.count(lease) != 0; }
  bool empty() const { return open_.empty(); }
  /// Leases without runs left, since the last call. They stay held until closed().
  std::vector<lease_id> take_done() {
    std::vector<lease_id> out;
    out.swap(done_);
    return out;
  }
  bool has_done() const { return !done_.empty(); }
  void closed(const std::vector<lease_id>& leases) {
    for (const auto lease : leases)
      open_.erase(lease);
  }
  /// All of them are void: the node's life ended.
  void clear() {
    open_.clear();
    done_.clear();
  }
  /// Those among `stored` that we do not hold.
  std::vector<lease_id> unknown(const std::vector<lease_id>& stored) const {
    std::vector<lease_id> out;
    std::copy_if(stored.begin(), stored.end(), std::back_inserter(out),
                 [this](lease_id lease) { return !holds(lease); });
    return out;
  }

private:
  static constexpr std::size_t never = static_cast<std::size_t>(-1);

  std::unordered_map<lease_id, std::size_t> open_;
  std::vector<lease_id> done_;
};

} // namespace troupe
