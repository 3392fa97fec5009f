// Runs of entries: what is enqueued together is a few rows, and a cursor may stand within one.
// Random batches, late writers, cancels, deletes and claims of all sizes against a model, in queues
// with and without limits per key: each job comes once, with its own args, in the order of its
// lane, and what waits is counted. The seed is printed; TROUPE_SEED repeats its choices.
#include "tests/db/two_nodes.hpp"

#include <cstdlib>
#include <map>
#include <random>

using namespace troupe;
using namespace troupe::tests;

namespace {

std::string numbered(int n) {
  return "{\"n\": " + std::to_string(n) + "}";
}

struct runs_play : two_nodes {
  explicit runs_play(unsigned seed) : random(seed) {}

  int below(int bound) { return static_cast<int>(random() % static_cast<unsigned>(bound)); }
  bool one_in(int n) { return below(n) == 0; }

  std::vector<job_spec> some_jobs() {
    const int sizes[] = {1, 1 + below(20), 200 + below(500)};
    std::vector<job_spec> jobs(static_cast<std::size_t>(sizes[below(3)]));
    const bool mixed = one_in(3);
    for (auto& job : jobs)
      job = {.kind = "noop", .args = numbered(++number), .priority = mixed && one_in(2) ? 5 : 0};
    return jobs;
  }
  void note(std::map<std::int64_t, std::string>& to, const std::vector<job_spec>& jobs,
            const std::vector<job_id>& ids) {
    for (std::size_t i = 0; i < ids.size(); ++i)
      to[ids[i].value] = jobs[i].args;
  }
  void enqueue() {
    const auto jobs = some_jobs();
    note(waiting, jobs, at.enqueue(jobs));
  }
  void write_late() {
    if (!late_open) {
      other.begin();
      late_open = true;
    } else if (one_in(3)) {
      late_open = false;
      if (one_in(4)) {
        other.rollback();
      } else {
        other.commit();
        waiting.merge(late);
      }
      late.clear();
      return;
    }
    const auto jobs = some_jobs();
    note(late, jobs, other.enqueue(jobs));
  }
  void claim() {
    const int limit = one_in(2) ? 1 + below(12) : 1 + below(700);
    const auto batch = at.claim(limit);
    BOOST_REQUIRE_LE(batch.jobs.size(), static_cast<std::size_t>(limit));
    for (const auto& run : batch.jobs) {
      const auto found = waiting.find(run->id.value);
      BOOST_REQUIRE_MESSAGE(found != waiting.end(), "job " << run->id.value << " does not wait");
      BOOST_REQUIRE_EQUAL(run->args, found->second);
      waiting.erase(found);
    }
    if (!batch.jobs.empty())
      BOOST_REQUIRE(at.finish(batch).fenced.empty());
  }
  void take_out() {
    if (waiting.empty())
      return;
    const auto which = std::next(waiting.begin(), below(static_cast<int>(waiting.size())));
    if (one_in(2))
      at.cancel(job_id{which->first});
    else
      at.remove(job_id{which->first});
    waiting.erase(which);
  }
  void one_step() {
    switch (below(12)) {
    case 0:
    case 1:
      return enqueue();
    case 2:
    case 3:
      return write_late();
    case 4:
    case 5:
      return take_out();
    case 6: // claims go another way then
      if (one_in(4))
        at.limit_keys(one_in(2) ? std::optional{5} : std::nullopt);
      return;
    case 7:
      at.keep_up();
      return;
    default:
      return claim();
    }
  }
  void check() {
    BOOST_REQUIRE_EQUAL(at.queue() ? at.queue()->waiting : 0,
                        static_cast<std::int64_t>(std::min<std::size_t>(waiting.size(), 10'000)));
  }
  void end() {
    if (late_open) {
      other.commit();
      waiting.merge(late);
    }
    for (int idle = 0; idle < 8;) {
      const auto before = waiting.size();
      claim();
      idle = waiting.size() == before ? idle + 1 : 0;
    }
    BOOST_TEST(waiting.size() == 0U);
  }

  std::mt19937 random;
  int number = 0;
  bool late_open = false;
  std::map<std::int64_t, std::string> waiting, late; ///< args by id
};

} // namespace

BOOST_AUTO_TEST_CASE(whatever_is_entered_together_each_job_comes_once_with_its_own_args) {
  const char* given = std::getenv("TROUPE_SEED"); // NOLINT(concurrency-mt-unsafe)
  const unsigned first =
      given ? static_cast<unsigned>(std::stoul(given)) : std::random_device{}() % 1'000'000;
  for (unsigned seed = first; seed < first + 6; ++seed)
    BOOST_TEST_CONTEXT("TROUPE_SEED=" << seed) {
      runs_play one(seed);
      for (int i = 0; i < 200; ++i) {
        one.one_step();
        one.check();
      }
      one.end();
    }
}

BOOST_FIXTURE_TEST_CASE(a_batch_is_few_entries_and_comes_in_the_order_given, two_nodes) {
  at.enqueue(); // makes the lanes
  everything(at);
  const auto before = count("ready");
  const auto ids = at.enqueue_many(1000);
  BOOST_TEST(count("ready") == before + 4);
  std::map<std::int64_t, std::int64_t> last; // of each shard's chunk
  std::multiset<std::int64_t> given;
  for (const auto& batch : at.drain(7)) {
    for (const auto& run : batch.jobs) {
      const auto chunk = (run->id.value - ids.front().value + 1) / 256;
      BOOST_TEST(run->id.value > last[chunk]);
      last[chunk] = run->id.value;
      given.insert(run->id.value);
    }
  }
  BOOST_TEST(difference(given, set_of(ids)) == "");
}

BOOST_FIXTURE_TEST_CASE(jobs_of_two_priorities_in_turn_are_entered_each_in_its_lane, two_nodes) {
  std::vector<job_spec> jobs(300, job_spec{.kind = "noop"});
  for (std::size_t i = 0; i < jobs.size(); i += 2)
    jobs[i].priority = 3;
  const auto ids = at.enqueue(jobs);
  std::multiset<std::int64_t> first, then;
  for (std::size_t i = 0; i < ids.size(); ++i)
    (i % 2 ? first : then).insert(ids[i].value); // 0 is the better priority
  std::multiset<std::int64_t> given;
  while (given.size() < first.size())
    for (const auto& run : at.claim(10).jobs)
      given.insert(run->id.value);
  BOOST_TEST(difference(given, first) == "");
  BOOST_TEST(difference(everything(at), then) == "");
}
