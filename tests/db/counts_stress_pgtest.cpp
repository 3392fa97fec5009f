// Writers, claimers, cancellers, movers and two that fold, all at once: at every moment at which
// somebody looks the counts are what the jobs are, in one snapshot, and so they are in the end.
#include "db/bulk_statements.hpp"
#include "tests/db/counts_desk.hpp"

#include <atomic>
#include <mutex>
#include <random>
#include <thread>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

/// What the threads share.
struct counting_play : jobs_database {
  std::atomic<bool> stop{false};
  std::atomic<std::int64_t> newest{0};
  std::atomic<int> looks{0};
  std::atomic<std::int64_t> changed{0}; ///< by operations on many jobs
  std::mutex guard;
  std::vector<std::string> problems;

  template<class Act>
  std::jthread run(unsigned seed, Act act) {
    return std::jthread([this, seed, act] {
      try {
        desk mine(database.url());
        mine.join();
        std::mt19937 random(seed);
        while (!stop)
          try {
            act(mine, random);
          } catch (const refused& no) {
            if (no.why.code != errc::retry) // a deadlock, which is undone whole
              throw;
            mine.rollback();
          }
      } catch (const std::exception& problem) {
        const std::lock_guard lock(guard);
        problems.emplace_back(problem.what());
        stop = true;
      }
    });
  }
};

void write(counting_play& all, desk& mine, std::mt19937& random) {
  mine.begin();
  for (auto steps = 1 + random() % 4; steps > 0; --steps) {
    std::vector<job_spec> jobs(1 + random() % 5, {.kind = "noop"});
    for (auto& job : jobs) {
      job.queue = random() % 2 == 0 ? "red" : "blue";
      if (random() % 4 == 0)
        job.delay = std::chrono::milliseconds{random() % 5};
    }
    all.newest = mine.enqueue(jobs).back().value;
  }
  random() % 5 == 0 ? mine.rollback() : mine.commit();
}

void work(desk& mine, std::mt19937& random) {
  const auto batch =
      mine.claim(1 + static_cast<int>(random() % 10), random() % 2 == 0 ? "red" : "blue");
  if (batch.jobs.empty())
    return;
  auto what = mine.finishing(batch, completed());
  for (auto& run : what.runs)
    if (random() % 8 == 0) {
      run.result = random() % 2 == 0 ? failed("again") : snoozed(1ms);
      run.retry_in = 1ms;
    }
  mine.finish(what);
}

void steer(counting_play& all, desk& mine, std::mt19937& random) {
  const job_id one{1 + static_cast<std::int64_t>(random()) % std::max<std::int64_t>(1, all.newest)};
  try {
    switch (random() % 3) {
    case 0:
      return mine.cancel(one);
    case 1:
      return mine.retry(one);
    default:
      return mine.remove(one);
    }
  } catch (const refused& no) {
    if (no.why.code != errc::conflict && no.why.code != errc::not_found
        && no.why.code != errc::retry)
      throw;
  }
}

/// Operations on many jobs, whose steps may be undone for the sake of others.
void change_many(counting_play& all, desk& mine, std::mt19937& random) {
  const std::string queue = random() % 2 == 0 ? "red" : "blue";
  bulk_request what{static_cast<bulk_action>(random() % 5)};
  what.filter.queue = queue;
  if (what.action == bulk_action::retry)
    what.filter.state = random() % 2 == 0 ? job_state::cancelled : job_state::retryable;
  if (what.action == bulk_action::move)
    what.to_queue = queue == "red" ? "blue" : "red";
  if (what.action == bulk_action::reprioritise)
    what.to_priority = static_cast<int>(random() % 3);
  mine.ask(db::start_bulk_query({what}));
  for (int i = 0; i < 3; ++i)
    all.changed += db::decode_stepped(mine.ask(db::step_bulk_query(5))).changed;
  mine.ask(db::make_query("update troupe.bulk_operation set state = 'cancelled', ended_at = now()"
                          " where state = 'running'"));
}

} // namespace

BOOST_FIXTURE_TEST_CASE(at_every_moment_the_counts_are_what_the_jobs_are, counting_play) {
  const auto seed = first_seed();
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < 2; ++i) {
      threads.push_back(run(seed + i, [&](desk& mine, auto& random) { // each look counts all jobs
        newest < 30 * (1 + looks) ? write(*this, mine, random) : work(mine, random);
      }));
      threads.push_back(run(seed + 10 + i, [](desk& mine, auto& random) { work(mine, random); }));
      threads.push_back(run(seed + 20 + i, [&](desk& mine, auto&) {
        mine.promote();
        mine.ask(db::make_query("select troupe.fold_tallies()"));
      }));
    }
    threads.push_back(
        run(seed + 30, [&](desk& mine, auto& random) { steer(*this, mine, random); }));
    threads.push_back(
        run(seed + 40, [&](desk& mine, auto& random) { change_many(*this, mine, random); }));
    // And until there was something to look at: the others may begin late.
    const auto enough = [&] { return looks >= 300 && newest > 100 && changed > 20; };
    for (; looks < 3000 && !enough() && !stop; ++looks) {
      const auto wrong = database.value(wrong_counts);
      if (!wrong.empty()) {
        const std::lock_guard lock(guard);
        problems.push_back("look " + std::to_string(looks) + ": " + wrong);
        break;
      }
    }
    stop = true;
  }
  BOOST_TEST_MESSAGE("seed " << seed << ", jobs " << newest);
  for (const auto& problem : problems)
    BOOST_ERROR(problem);
  BOOST_TEST(looks >= 300);
  at.keep_up();
  BOOST_TEST(database.value(wrong_counts) == "");
  BOOST_TEST(count("tally") == 0);
  BOOST_TEST(newest > 100);
  BOOST_TEST(database.value("select sum(changed) > 20 from troupe.bulk_operation") == "t");
}
