// Workers by HTTP that claim, finish, tell things twice, lose answers, leave and die, beside a
// ledger of whose each attempt is: `done` is told to that one only, and once. TROUPE_SEED repeats.
#include "tests/db/work_desk.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <set>

using namespace troupe;
using namespace troupe::tests;

namespace {

struct play : two_workers {
  struct player {
    worker who;
    std::vector<claimed_job> holds;
    std::vector<std::pair<claimed_job, job_result>> told; ///< and done
  };
  using run = std::pair<int, std::size_t>; ///< attempt and player

  play() {
    const char* given = std::getenv("TROUPE_SEED"); // NOLINT(concurrency-mt-unsafe)
    seed = given != nullptr ? std::stoul(given) : std::random_device{}();
    BOOST_TEST_MESSAGE("TROUPE_SEED=" << seed);
    random.seed(static_cast<std::minstd_rand::result_type>(seed));
    for (int i = 0; i < 4; ++i) {
      players.push_back(
          {worker{i % 2 == 0 ? at : other, std::string(32, static_cast<char>('a' + i))}, {}, {}});
      players.back().who.join();
    }
  }
  bool chance(unsigned of) { return random() % of == 0; }
  std::string where(job_id id) const {
    return "job " + std::to_string(id.value) + ", seed " + std::to_string(seed);
  }

  void claim(std::size_t nth) {
    for (const auto& job : players[nth].who.claim(1 + static_cast<int>(random() % 4)).jobs) {
      BOOST_REQUIRE_MESSAGE(!owners.contains(job.id.value)
                                && !completed_jobs.contains(job.id.value),
                            where(job.id) << " was handed out twice");
      owners[job.id.value] = {job.attempt, nth};
      if (!chance(10)) // else the answer is lost
        players[nth].holds.push_back(job);
    }
  }
  void finish(std::size_t nth) {
    auto& p = players[nth];
    if (p.holds.empty())
      return;
    const auto job = p.holds[random() % p.holds.size()];
    const auto result = chance(4) ? failed("x") : chance(5) ? snoozed(0ms) : completed();
    const auto fate = p.who.finish(job, result);
    const auto owner = owners.find(job.id.value);
    const bool own = owner != owners.end() && owner->second == run{job.attempt, nth};
    BOOST_REQUIRE_MESSAGE((fate == work_fate::done) == own, where(job.id));
    std::erase_if(p.holds, [&](const auto& held) { return held.id == job.id; });
    if (!own)
      return;
    owners.erase(owner);
    if (result.kind != job_result::verdict::completed)
      return;
    completed_jobs.insert(job.id.value);
    p.told.emplace_back(job, result);
  }
  void tell_again(std::size_t nth) {
    const auto& p = players[nth];
    if (p.told.empty())
      return;
    const auto& [job, result] = p.told[random() % p.told.size()];
    BOOST_REQUIRE((p.who.finish(job, result) == work_fate::done));
    BOOST_REQUIRE((p.who.finish(job, failed("y")) == work_fate::fenced));
  }
  void beat(std::size_t nth) {
    make_leases_old();
    std::vector<job_id> named;
    for (const auto& job : players[nth].holds)
      named.push_back(job.id);
    for (const auto id : players[nth].who.beat(named).put_back) {
      BOOST_REQUIRE_EQUAL(owners.at(id.value).second, nth);
      owners.erase(id.value);
    }
  }
  void end(std::size_t nth) {
    auto& p = players[nth];
    if (chance(2))
      static_cast<void>(lose(p.who));
    else
      p.who.leave();
    std::erase_if(owners, [&](const auto& held) { return held.second.second == nth; });
    p.who.join();
    for (const auto& job : p.holds)
      BOOST_REQUIRE((p.who.finish(job) == work_fate::fenced));
    p.holds.clear();
    p.told.clear();
  }
  void step() {
    const auto nth = random() % players.size();
    switch (random() % 8) {
    case 0:
    case 1:
      return claim(nth);
    case 2:
    case 3:
    case 4:
      return finish(nth);
    case 5:
      return tell_again(nth);
    case 6:
      return beat(nth);
    default:
      if (chance(3))
        end(nth);
    }
  }

  unsigned long seed = 0;
  std::minstd_rand random;
  std::vector<player> players;
  std::map<std::int64_t, run> owners;
  std::set<std::int64_t> completed_jobs;
};

} // namespace

BOOST_FIXTURE_TEST_CASE(at_random_no_two_workers_end_the_same_attempt, play) {
  const auto ids = at.enqueue_many(60);
  for (int i = 0; i < 400; ++i) {
    step();
    let_time_pass();
    at.promote();
  }
  for (auto& p : players)
    p.who.leave();
  BOOST_TEST(leases() == 0);
  BOOST_TEST(!completed_jobs.empty());
  for (const auto id : ids)
    BOOST_TEST((at.state(id) == "completed") == completed_jobs.contains(id.value), where(id));
}
