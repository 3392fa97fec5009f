// Limits under random operations: nodes that claim, finish, give back and die, an operator who
// pauses and changes the limit, beside an independent model. At every commit the permits of all
// nodes are within the limit, in the end every job ran once. Then the same with threads: what is in
// use at once is counted outside the database.
#include "tests/db/desk.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

constexpr int slots = 4;

struct simulated_node {
  explicit simulated_node(const std::string& url) : at(url) { at.join(); }

  desk at;
  std::map<lease_id, claimed_jobs> leases;
  std::optional<run_permits> permits;

  int held() const {
    int count = 0;
    for (const auto& [lease, jobs] : leases)
      count += static_cast<int>(jobs.jobs.size());
    return count;
  }
};

struct play : jobs_database {
  explicit play(unsigned seed) : random(seed) {
    for (int i = 0; i < 3; ++i)
      nodes.push_back(std::make_unique<simulated_node>(database.url()));
  }

  int pick(int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); }
  simulated_node& some_node() { return *nodes[static_cast<std::size_t>(pick(3))]; }

  void claim(simulated_node& node) {
    auto given = node.at.claim_for(1 + pick(8), slots, node.held());
    if (given.jobs.empty())
      return;
    BOOST_REQUIRE(!paused);
    BOOST_REQUIRE(given.permits.has_value() == limit.has_value());
    node.permits = given.permits;
    for (const auto& run : given.jobs)
      BOOST_REQUIRE_MESSAGE(out.insert(run->id).second, "job " << run->id.value << " twice");
    const auto lease = given.lease;
    node.leases.emplace(lease, std::move(given));
  }
  void finish(simulated_node& node) {
    if (node.leases.empty())
      return;
    auto& [id, lease] = *node.leases.begin();
    finish_runs what{node.at.node, {}, {}, {}};
    const int count = 1 + pick(static_cast<int>(lease.jobs.size()));
    for (int i = 0; i < count; ++i) {
      const auto run = lease.jobs.back();
      lease.jobs.pop_back();
      what.runs.push_back(ended(lease, *run, completed()));
      out.erase(run->id);
      BOOST_REQUIRE(completed_jobs.insert(run->id).second);
    }
    const bool done = lease.jobs.empty();
    if (done)
      what.done.push_back(id);
    const bool give = node.permits && node.permits->count > 0 && pick(2) == 0;
    if (give)
      what.keep.push_back({"default", {pick(node.permits->count), node.permits->change}});
    const auto answer = node.at.finish(what);
    BOOST_REQUIRE(answer.fenced.empty());
    if (give)
      node.permits = answer.permits.at(0);
    if (done)
      node.leases.erase(node.leases.begin());
  }
  void die(simulated_node& node) {
    make_old(node.at.node);
    auto& rescuer = &node == nodes[0].get() ? *nodes[1] : *nodes[0];
    for (const auto& [id, lease] : node.leases)
      for (const auto& run : lease.jobs) {
        out.erase(run->id);
        if (run->losses == 2)
          quarantined.insert(run->id);
      }
    rescuer.at.rescue(node.at.node);
    node.leases.clear();
    node.permits.reset();
    node.at.join();
  }
  void change_limit() {
    limit = pick(4) == 0 ? std::nullopt : std::optional{1 + pick(8)};
    nodes[0]->at.limit(limit);
    bound = std::max(limit.value_or(1'000'000), held());
  }
  void change_pause() {
    paused = !paused;
    if (paused)
      nodes[1]->at.pause();
    else
      nodes[1]->at.resume();
  }
  int held() {
    return at.ask(db::make_query("select coalesce(sum(permits), 0)::int from troupe.permit"))
        .one()
        .get<std::int32_t>(0);
  }
  void one_step() {
    switch (pick(12)) {
    case 0:
      return static_cast<void>(nodes[2]->at.enqueue_many(1 + pick(20)));
    case 1:
      return pick(4) == 0 ? change_pause() : claim(some_node());
    case 2:
      return pick(3) == 0 ? change_limit() : finish(some_node());
    case 3:
      return pick(8) == 0 ? die(some_node()) : claim(some_node());
    default:
      return pick(2) ? claim(some_node()) : finish(some_node());
    }
  }
  void check() {
    if (!limit)
      return;
    const int now = held();
    BOOST_REQUIRE_MESSAGE(now <= bound, now << " permits, " << bound << " allowed");
    // What was lowered comes down and does not go up again.
    bound = std::max(*limit, now);
    int believed = 0;
    for (const auto& node : nodes)
      believed += node->permits ? node->permits->count : 0;
    BOOST_REQUIRE(believed <= now);
  }
  void end() {
    if (paused)
      change_pause();
    nodes[0]->at.limit(limit = 8);
    bound = std::max(8, held());
    for (int round = 0; round < 2000 && (count_waiting() > 0 || !out.empty()); ++round)
      for (const auto& node : nodes) {
        claim(*node);
        finish(*node);
        check();
      }
  }
  std::int64_t count_waiting() { return nodes[0]->at.queue()->waiting; }

  std::mt19937 random;
  std::vector<std::unique_ptr<simulated_node>> nodes;
  std::optional<int> limit;
  int bound = 1'000'000;
  bool paused = false;
  std::set<job_id> out; ///< handed out and not finished
  std::set<job_id> completed_jobs;
  std::set<job_id> quarantined;
};

} // namespace

BOOST_AUTO_TEST_CASE(whatever_happens_the_limit_is_kept_and_every_job_runs_once) {
  for (unsigned seed = 1; seed <= 12; ++seed)
    BOOST_TEST_CONTEXT("seed " << seed) {
      play one(seed);
      for (int i = 0; i < 300; ++i) {
        one.one_step();
        one.check();
      }
      one.end();
      BOOST_TEST(one.out.empty());
      BOOST_TEST(static_cast<int>(one.completed_jobs.size() + one.quarantined.size())
                 == one.count("job"));
      BOOST_TEST(one.count("attempt where outcome = 1")
                 == static_cast<int>(one.completed_jobs.size()));
    }
}

BOOST_AUTO_TEST_CASE(threads_that_claim_and_give_back_are_never_more_in_use_than_the_limit) {
  constexpr int limit = 5;
  constexpr int jobs = 3000;
  jobs_database base;
  base.at.limit(limit);
  base.at.enqueue_many(jobs);
  std::atomic<int> in_use{0};
  std::atomic<int> most{0};
  std::atomic<int> ended_jobs{0};
  std::mutex guard;
  std::vector<std::string> problems;
  const auto work = [&](unsigned seed) {
    try {
      simulated_node node(base.database.url());
      std::mt19937 random(seed);
      int counted = 0; // of our permits, what in_use knows
      const auto use = [&](int now) {
        const int all = in_use += now - counted;
        counted = now;
        for (int seen = most; all > seen && !most.compare_exchange_weak(seen, all);)
          ;
      };
      while (ended_jobs < jobs) {
        const auto given = node.at.claim_for(1 + static_cast<int>(random() % 12), slots, 0);
        if (given.jobs.empty())
          continue;
        use(given.permits->count);
        finish_runs what = node.at.finishing(given, completed());
        ended_jobs += static_cast<int>(what.runs.size());
        const int keep = random() % 2 ? 0 : given.permits->count / 2;
        use(keep); // before it is given back
        what.keep.push_back({"default", {keep, given.permits->change}});
        use(node.at.finish(what).permits.at(0).count);
      }
      use(0);
    } catch (const std::exception& problem) {
      const std::lock_guard lock(guard);
      problems.emplace_back(problem.what());
      ended_jobs = jobs;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 1; i <= 4; ++i)
    threads.emplace_back(work, i);
  for (auto& one : threads)
    one.join();
  for (const auto& problem : problems)
    BOOST_ERROR(problem);
  BOOST_TEST(most <= limit);
  BOOST_TEST(most >= 2); // or nothing was shared at all
  BOOST_TEST(base.count("attempt where outcome = 1") == jobs);
}
