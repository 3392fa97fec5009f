// An ordered queue and two nodes at it, for the tests of order.
#pragma once

#include "tests/db/keyed_desk.hpp"
#include "tests/db/two_nodes.hpp"

namespace troupe::tests {

using namespace std::chrono_literals;

struct in_order : two_nodes {
  in_order() { at.order(true); }

  std::vector<job_id> one_by_one(int count, int priority = 0) {
    std::vector<job_id> ids;
    for (int i = 0; i < count; ++i)
      ids.push_back(at.enqueue(job_spec{.kind = "noop", .priority = priority}));
    return ids;
  }
  /// The next claim of this node, which must give this job and nothing else.
  static claimed_jobs gives(desk& node, job_id id) {
    auto batch = node.claim_for(10, 16, 0);
    BOOST_REQUIRE_EQUAL(batch.jobs.size(), 1U);
    BOOST_TEST(batch.jobs.at(0)->id == id);
    return batch;
  }
  claimed_jobs gives(job_id id) { return gives(at, id); }
  /// Nobody gets anything.
  void nobody() {
    for (auto* node : {&at, &other})
      BOOST_TEST(node->claim_for(10, 16, 0).jobs.empty());
  }
  void complete(const std::vector<job_id>& ids) {
    for (const auto id : ids)
      at.finish(gives(id));
  }
  void due() {
    let_time_pass();
    at.promote();
  }
  std::string reason(job_id id) { return std::string{to_string(at.why(id).reason)}; }
  bool named_by_pulse() {
    const auto queues = at.beat().queues;
    return std::find(queues.begin(), queues.end(), "default") != queues.end();
  }
};

} // namespace troupe::tests
