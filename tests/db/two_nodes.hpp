// Two nodes at one database, and sets of jobs to compare; for the tests of nodes and of lanes.
#pragma once

#include "tests/db/desk.hpp"

#include <algorithm>
#include <iterator>
#include <set>

namespace troupe::tests {

struct two_nodes : jobs_database {
  desk other{database.url()};
  two_nodes() {
    at.join("one");
    other.join("two");
    keep_alive();
  }

  /// `other` dies while it runs what it claims now.
  claimed_jobs lose(int limit = 100) {
    auto batch = other.claim(limit);
    for (const auto& run : batch.jobs)
      if (run->losses > 0)
        BOOST_REQUIRE(other.start(batch.lease, run->id));
    make_old(other.node);
    return batch;
  }
  std::multiset<std::int64_t> everything(desk& from, const std::string& queue = "default") const {
    std::multiset<std::int64_t> ids;
    for (const auto& batch : from.drain(100, queue))
      for (const auto& run : batch.jobs)
        ids.insert(run->id.value);
    return ids;
  }
};

/// What one has and the other has not.
inline std::string difference(const std::multiset<std::int64_t>& given,
                              const std::multiset<std::int64_t>& wanted) {
  std::vector<std::int64_t> lost, doubled;
  std::set_difference(wanted.begin(), wanted.end(), given.begin(), given.end(),
                      std::back_inserter(lost));
  std::set_difference(given.begin(), given.end(), wanted.begin(), wanted.end(),
                      std::back_inserter(doubled));
  std::string text;
  if (!lost.empty())
    text += std::to_string(lost.size()) + " lost from " + std::to_string(lost.front()) + " ";
  if (!doubled.empty())
    text += std::to_string(doubled.size()) + " too many from " + std::to_string(doubled.front());
  return text;
}

inline std::multiset<std::int64_t> set_of(const std::vector<job_id>& ids) {
  std::multiset<std::int64_t> all;
  for (const auto id : ids)
    all.insert(id.value);
  return all;
}

} // namespace troupe::tests
