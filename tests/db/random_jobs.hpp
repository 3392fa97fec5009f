// Jobs in all states, for tests of what shows them: lists, lookups by id, exports.
#pragma once

#include "tests/db/desk.hpp"

#include <random>

namespace troupe::tests {

/// Jobs in all states at random, with gaps between them, on both sides of a partition's end.
struct random_jobs : jobs_database {
  std::mt19937 random{20'261'128};
  std::vector<job_id> jobs;

  int below(int end) { return static_cast<int>(random() % static_cast<unsigned>(end)); }
  job_id any() { return jobs[static_cast<std::size_t>(below(static_cast<int>(jobs.size())))]; }
  std::string queue() { return below(12) == 0 ? "rare" : below(2) == 0 ? "a" : "b"; }

  void put_in() {
    std::vector<job_spec> some(static_cast<std::size_t>(1 + below(8)));
    for (auto& one : some) {
      one = job_spec{.kind = below(3) == 0 ? "k" : "noop", .queue = queue()};
      if (below(4) == 0)
        one.delay = std::chrono::hours{1};
      if (below(4) == 0)
        one.tags = {"t", "a \"tag\""};
      if (below(4) == 0)
        one.limit_key = "key";
    }
    for (const auto id : at.enqueue(std::move(some)))
      jobs.push_back(id);
  }
  void run_some() {
    const auto batch = at.claim(1 + below(5), queue());
    if (batch.jobs.empty())
      return;
    switch (below(4)) {
    case 0:
      return at.finish(batch), void();
    case 1:
      return at.finish(batch, failed("again"), std::chrono::hours{1}, below(2) == 0),
             void(); // or its lease stays

    case 2:
      return at.finish(batch, discarded("never")), void();
    default:
      return; // they run on
    }
  }
  /// Jobs may be in no state for it; then nothing happens.
  void steer() {
    try {
      const auto id = any();
      switch (below(3)) {
      case 0:
        return at.cancel(id);
      case 1:
        return at.retry(id);
      default:
        return at.remove(id);
      }
    } catch (const refused& e) {
      if (!is_conflict(e) && !is_not_found(e))
        throw;
    }
  }
  void play(int steps) {
    at.ask(db::make_query("select setval('troupe.job_id_seq', 4999800)"));
    put_in();
    for (int step = 0; step < steps; ++step) {
      put_in();
      run_some();
      steer();
      if (step % 50 == 25) {
        let_time_pass();
        at.promote();
      }
    }
    BOOST_REQUIRE(jobs.front().value < 5'000'000);
    BOOST_REQUIRE(jobs.back().value > 5'000'001);
  }
};

} // namespace troupe::tests
