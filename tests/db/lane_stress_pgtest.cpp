// Many writers that commit out of order, one that stays open all the time, and claimers that finish
// what they get: in the end every committed job was handed out exactly once. The seed is printed;
// TROUPE_SEED repeats its choices (not the scheduling of threads).
#include "tests/db/desk.hpp"

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <random>
#include <set>
#include <thread>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

constexpr int writers = 16;
constexpr int claimers = 6;
const std::vector<std::string> queues{"red", "green", "blue"};

/// What the threads of one run share.
struct play {
  explicit play(std::string database_url) : url(std::move(database_url)) {}

  std::string url;
  std::atomic<bool> ending{false};  ///< writers stop
  std::atomic<bool> written{false}; ///< nothing more will be committed
  std::mutex guard;
  std::set<std::int64_t> committed;
  std::vector<std::int64_t> handed_out;
  std::vector<std::string> problems;

  template<class Act>
  void run(Act act) {
    try {
      desk mine(url);
      act(mine);
    } catch (const std::exception& problem) {
      const std::lock_guard lock(guard);
      problems.emplace_back(problem.what());
      ending = true;
    }
  }
  void note_committed(const std::vector<job_id>& ids) {
    const std::lock_guard lock(guard);
    for (const auto id : ids)
      committed.insert(id.value);
  }
};

std::vector<job_spec> some_jobs(std::mt19937& random) {
  std::vector<job_spec> jobs(1 + random() % (random() % 20 ? 20 : 600));
  const auto& queue = queues[random() % queues.size()];
  for (auto& job : jobs)
    job = {.kind = "noop", .queue = queue, .priority = static_cast<int>(random() % 2) * 5};
  return jobs;
}

/// Transactions of one to five enqueues with nothing between them but round trips.
void write(play& all, desk& mine, std::mt19937 random) {
  const db::statement idle{"idle", "select 1"};
  while (!all.ending) {
    std::vector<job_id> ids;
    mine.begin();
    for (auto steps = 1 + random() % 5; steps > 0; --steps) {
      const auto more = mine.enqueue(some_jobs(random));
      ids.insert(ids.end(), more.begin(), more.end());
      for (auto pauses = random() % 40; pauses > 0; --pauses)
        mine.ask(db::query{idle});
    }
    if (random() % 10 == 0) {
      mine.rollback();
      continue;
    }
    mine.commit();
    all.note_committed(ids);
  }
}

/// Claims and finishes until the writers are done and a whole round of all queues was empty.
void claim(play& all, desk& mine, std::mt19937 random) {
  mine.join();
  std::vector<std::int64_t> mine_all;
  bool last_round = false;
  for (;;) {
    bool found = false;
    for (const auto& queue : queues) {
      const auto batch =
          mine.claim(1 + static_cast<int>(random() % (random() % 5 ? 60 : 600)), queue);
      if (batch.jobs.empty())
        continue;
      found = true;
      for (const auto& run : batch.jobs)
        mine_all.push_back(run->id.value);
      if (!mine.finish(batch, random() % 4 ? completed() : discarded("x")).fenced.empty())
        throw std::runtime_error("an outcome was fenced");
    }
    if (found) {
      last_round = false;
      continue;
    }
    if (last_round)
      break;
    last_round = all.written;
  }
  const std::lock_guard lock(all.guard);
  all.handed_out.insert(all.handed_out.end(), mine_all.begin(), mine_all.end());
}

} // namespace

BOOST_FIXTURE_TEST_CASE(every_committed_job_is_handed_out_exactly_once, jobs_database) {
  const char* given = std::getenv("TROUPE_SEED");
  const unsigned seed = given ? static_cast<unsigned>(std::stoul(given)) : std::random_device{}();
  BOOST_TEST_MESSAGE("TROUPE_SEED=" << seed);
  BOOST_TEST_CONTEXT("TROUPE_SEED=" << seed) {
    play all(database.url());
    desk patient(database.url());
    patient.begin();
    std::vector<job_id> held;
    for (const auto& queue : queues)
      for (const auto id : patient.enqueue_many(1200, queue)) // in all lanes
        held.push_back(id);
    {
      std::vector<std::jthread> claiming;
      for (unsigned i = 0; i < claimers; ++i)
        claiming.emplace_back([&, i] {
          all.run([&](desk& mine) { claim(all, mine, std::mt19937{seed + 1000 + i}); });
        });
      {
        std::vector<std::jthread> writing;
        for (unsigned i = 0; i < writers; ++i)
          writing.emplace_back(
              [&, i] { all.run([&](desk& mine) { write(all, mine, std::mt19937{seed + i}); }); });
        // Enough work, or enough time on a slow machine, where something has to be done as well.
        const auto committed = [&](std::size_t jobs) {
          const std::lock_guard lock(all.guard);
          return all.ending || all.committed.size() > jobs;
        };
        await_until([&] { return committed(60'000); }, 12s);
        await_until([&] { return committed(0); });
        all.ending = true;
      }
      patient.commit();
      all.note_committed(held);
      all.written = true;
    }
    for (const auto& problem : all.problems)
      BOOST_ERROR(problem);
    BOOST_TEST_MESSAGE(all.committed.size() << " jobs");
    const std::set<std::int64_t> once(all.handed_out.begin(), all.handed_out.end());
    BOOST_TEST(once.size() == all.handed_out.size(), "some were handed out twice");
    BOOST_TEST((once == all.committed), all.committed.size()
                                            << " committed, " << once.size() << " handed out");
    BOOST_TEST(count("lease") == 0);
    BOOST_TEST(count("attempt") == static_cast<int>(all.committed.size()));
    BOOST_TEST(
        at.list({{.state = job_state::available, .queue = {}, .kind = {}}, {}, 10}).jobs.empty());
    BOOST_TEST(all.committed.size() > held.size());
  }
}
