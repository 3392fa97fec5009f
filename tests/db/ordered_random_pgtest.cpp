// Ordered queues under random operations: writers that commit in another order than they began,
// nodes that claim, end runs and die, people who cancel, delete, retry and switch the order off and
// on, beside an independent model that says of each claim which job it must give, if any. Then the
// same with threads: what runs at once is counted outside the database, and who was put in before
// another was asked for starts before it.
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

/// Transactions by their numbers, then as they were put in.
struct place {
  int priority = 0;
  std::int64_t transaction = 0;
  int nth = 0;
  auto operator<=>(const place&) const = default;
};

struct known_job {
  int priority = 0;
  int attempt = 1; ///< the current one
  enum { unseen, waits, later, runs, over } is = waits;
  place at; ///< while it waits and is not the head
};

struct busy_node {
  explicit busy_node(const std::string& url) : at(url) { at.join(); }

  desk at;
  std::vector<claimed_jobs> batches; ///< whose runs are not ended
};

struct writer {
  explicit writer(const std::string& url) : at(url) {}

  desk at;
  bool open = false;
  std::int64_t transaction = 0;
  int stored = 0;
  std::vector<job_id> jobs;
};

struct ordered_play : jobs_database {
  explicit ordered_play(unsigned seed) : random(seed) {
    for (int i = 0; i < 3; ++i) {
      nodes.push_back(std::make_unique<busy_node>(database.url()));
      writers.push_back(std::make_unique<writer>(database.url()));
    }
    at.order(true);
  }

  int pick(int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); }
  busy_node& some_node() { return *nodes[static_cast<std::size_t>(pick(3))]; }
  std::optional<job_id> some_job() {
    std::vector<job_id> seen;
    for (const auto& [id, job] : jobs)
      if (job.is != known_job::unseen)
        seen.push_back(id);
    if (seen.empty())
      return std::nullopt;
    return seen[static_cast<std::size_t>(pick(static_cast<int>(seen.size())))];
  }
  static std::int64_t number(desk& of) {
    return std::stoll(
        of.ask(db::make_query("select pg_current_xact_id()::text")).one().get<std::string>(0));
  }
  /// What is done in one transaction of its own; its number.
  template<class Do>
  std::int64_t as_one(Do what) {
    at.begin();
    const auto transaction = number(at);
    what();
    at.commit();
    return transaction;
  }

  void write(writer& by) {
    if (!by.open) {
      by.at.begin();
      by.open = true;
      by.transaction = number(by.at);
      by.stored = 0;
      by.jobs.clear();
    }
    std::vector<job_spec> specs;
    for (int i = 1 + pick(4); i > 0; --i)
      specs.push_back({.kind = "noop", .priority = pick(2)});
    if (pick(4) == 0)
      specs.front().delay = 1h;
    const auto ids = by.at.enqueue(specs);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      auto& job = jobs[ids[i]];
      job.priority = specs[i].priority;
      job.is = known_job::unseen;
      job.at = {job.priority, by.transaction, by.stored++};
      by.jobs.push_back(ids[i]);
      if (specs[i].delay)
        delayed.insert(ids[i]);
    }
  }
  void end_writing(writer& by) {
    if (!by.open)
      return;
    by.open = false;
    const bool kept = pick(5) > 0;
    if (kept)
      by.at.commit();
    else
      by.at.rollback();
    for (const auto id : by.jobs) {
      if (kept)
        jobs[id].is = delayed.contains(id) ? known_job::later : known_job::waits;
      else
        jobs.erase(id);
    }
  }

  bool is_held() const {
    if (!old_runs.empty())
      return true;
    if (!head)
      return false;
    if (held_by_node)
      return true;
    const auto job = jobs.find(*head);
    return job != jobs.end() && job->second.is == known_job::later;
  }
  /// What a claim must give.
  std::optional<job_id> expected() const {
    if (is_held())
      return std::nullopt;
    if (head && jobs.contains(*head) && jobs.at(*head).is == known_job::waits)
      return head;
    const std::pair<const job_id, known_job>* best = nullptr;
    for (const auto& each : jobs)
      if (each.second.is == known_job::waits && (!best || each.second.at < best->second.at))
        best = &each;
    return best ? std::optional{best->first} : std::nullopt;
  }
  void claim(busy_node& node) {
    const auto wanted = expected();
    auto batch = node.at.claim_for(1 + pick(5), 16, 0);
    const auto given = batch.jobs.empty() ? std::nullopt : std::optional{batch.jobs.at(0)->id};
    BOOST_REQUIRE_MESSAGE(given == wanted, "given " << (given ? given->value : 0) << ", wanted "
                                                    << (wanted ? wanted->value : 0));
    if (!given)
      return;
    BOOST_REQUIRE_EQUAL(batch.jobs.size(), 1U);
    auto& job = jobs.at(*given);
    BOOST_REQUIRE_EQUAL(batch.jobs.at(0)->attempt, job.attempt);
    job.is = known_job::runs;
    head = given;
    held_by_node = true;
    node.batches.push_back(std::move(batch));
    ++starts;
  }

  /// Its node holds it no more.
  void let_go(const claimed_jobs& batch) {
    if (old_runs.erase(batch.lease.value) == 0)
      held_by_node = false;
  }
  void end_run(busy_node& node) {
    if (node.batches.empty())
      return;
    const auto batch = node.batches.back();
    node.batches.pop_back();
    const auto& run = *batch.jobs.at(0);
    const auto found = jobs.find(run.id);
    const bool live = found != jobs.end() && found->second.is == known_job::runs
                      && found->second.attempt == run.attempt;
    const int how = pick(4);
    const auto answer = node.at.finish(batch, how == 0   ? failed("no")
                                              : how == 1 ? snoozed(1h)
                                              : how == 2 ? discarded("never")
                                                         : completed());
    BOOST_REQUIRE_EQUAL(answer.fenced.size(), live ? 0U : 1U);
    let_go(batch);
    if (!live)
      return;
    auto& job = found->second;
    job.is = how < 2 ? known_job::later : known_job::over;
    if (how == 0)
      ++job.attempt;
  }
  void die(busy_node& node) {
    const auto dead = node.at.node;
    make_old(dead);
    for (const auto& batch : node.batches)
      node.at.start(batch.lease, batch.jobs.at(0)->id);
    at.rescue(dead);
    for (const auto& batch : node.batches) {
      const auto& run = *batch.jobs.at(0);
      const auto found = jobs.find(run.id);
      const bool was_others = old_runs.contains(batch.lease.value);
      let_go(batch);
      if (found == jobs.end() || found->second.is != known_job::runs
          || found->second.attempt != run.attempt)
        continue;
      const bool quarantined = run.losses == 2;
      found->second.is = quarantined ? known_job::over : known_job::waits;
      if (!quarantined)
        ++found->second.attempt;
      if (was_others
          && !quarantined) // it had no place: it has one now, by the rescue's transaction
        found->second.at = {found->second.priority,
                            std::stoll(database.value(
                                "select xact from troupe.ready where job_id = "
                                + std::to_string(run.id.value) + " order by xact desc limit 1")),
                            0};
    }
    node.batches.clear();
    node.at.join();
  }

  void time_passes() {
    let_time_pass();
    const auto transaction = as_one([&] { at.promote(); });
    int nth = 0;
    for (auto& [id, job] : jobs) // the same due time: by their ids
      if (job.is == known_job::later) {
        job.is = known_job::waits;
        job.at = {job.priority, transaction, nth++};
      }
  }
  void cancel(job_id id) {
    auto& job = jobs.at(id);
    const bool possible = job.is != known_job::over;
    try {
      at.cancel(id);
      BOOST_REQUIRE(possible);
    } catch (const refused&) {
      BOOST_REQUIRE(!possible);
      return;
    }
    job.is = known_job::over;
  }
  void remove(job_id id) {
    const bool possible = jobs.at(id).is != known_job::runs;
    try {
      at.remove(id);
      BOOST_REQUIRE(possible);
    } catch (const refused&) {
      BOOST_REQUIRE(!possible);
      return;
    }
    jobs.erase(id);
  }
  void retry(job_id id) {
    auto& job = jobs.at(id);
    const bool possible = job.is == known_job::over || job.is == known_job::later;
    at.begin();
    const auto transaction = number(at);
    try {
      at.retry(id);
      BOOST_REQUIRE(possible);
    } catch (const refused&) {
      at.rollback();
      BOOST_REQUIRE(!possible);
      return;
    }
    at.commit();
    if (job.is == known_job::over) {
      job.attempt = at.get(id).attempt + 1;
      if (head == id)
        let_go_of_head();
    }
    job.is = known_job::waits;
    job.at = {job.priority, transaction, 0};
  }
  /// It is the first no more; what a node has of it still counts.
  void let_go_of_head() {
    if (held_by_node)
      for (const auto& node : nodes)
        for (const auto& batch : node->batches)
          if (batch.jobs.at(0)->id == *head && !old_runs.contains(batch.lease.value))
            old_runs.insert(batch.lease.value);
    head.reset();
    held_by_node = false;
  }
  void switch_off_and_on() {
    const auto transaction = as_one([&] { at.order(false); });
    if (head && !held_by_node && jobs.contains(*head) && jobs.at(*head).is == known_job::waits)
      jobs.at(*head).at = {jobs.at(*head).priority, transaction, 0};
    at.order(true);
    let_go_of_head();
    for (const auto& node : nodes)
      for (const auto& batch : node->batches)
        old_runs.insert(batch.lease.value);
  }

  void step() {
    const int what = pick(100);
    if (what < 20)
      write(*writers[static_cast<std::size_t>(pick(3))]);
    else if (what < 32)
      end_writing(*writers[static_cast<std::size_t>(pick(3))]);
    else if (what < 62)
      claim(some_node());
    else if (what < 82)
      end_run(*std::max_element(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) {
                 return a->batches.size() < b->batches.size();
               })->get());
    else if (what < 88)
      time_passes();
    else if (what < 90)
      die(some_node());
    else if (what < 91)
      switch_off_and_on();
    else if (const auto id = head && pick(3) == 0 && jobs.contains(*head) ? head : some_job())
      what < 95 ? cancel(*id) : what < 97 ? remove(*id) : retry(*id);
  }
  /// Everything runs to its end.
  void finish_all() {
    for (const auto& by : writers)
      end_writing(*by);
    const auto some_wait = [&] {
      return std::any_of(jobs.begin(), jobs.end(),
                         [](const auto& each) { return each.second.is != known_job::over; });
    };
    for (int round = 0; some_wait(); ++round) {
      BOOST_REQUIRE(round < 20'000);
      time_passes();
      claim(some_node());
      for (const auto& node : nodes)
        end_run(*node);
    }
    claim(some_node());
    for (const auto& [id, job] : jobs)
      BOOST_REQUIRE(is_final(at.get(id).state));
  }

  std::mt19937 random;
  std::vector<std::unique_ptr<busy_node>> nodes;
  std::vector<std::unique_ptr<writer>> writers;
  std::map<job_id, known_job> jobs;
  std::set<job_id> delayed;
  std::optional<job_id> head;
  bool held_by_node = false;       ///< the head
  std::set<std::int64_t> old_runs; ///< leases that are not the head's
  int starts = 0;
};

/// Acts at a desk of its own; `note` is told what it throws.
template<class Act, class Note>
std::thread on_thread(const jobs_database& here, Act act, Note note) {
  return std::thread{[&here, act, note] {
    try {
      desk by{here.database.url()};
      act(by);
    } catch (const std::exception& problem) {
      note(problem.what());
    }
  }};
}

} // namespace

BOOST_AUTO_TEST_SUITE(ordered_at_random)

BOOST_AUTO_TEST_CASE(each_claim_gives_the_one_job_that_is_next_or_nothing) {
  for (unsigned seed = 1; seed <= 6; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      ordered_play play{seed};
      for (int i = 0; i < 500; ++i)
        play.step();
      play.finish_all();
      BOOST_TEST(play.starts > 50);
    }
  }
}

BOOST_AUTO_TEST_CASE(threads_never_run_two_and_start_them_as_they_were_put_in) {
  const jobs_database here;
  desk{here.database.url()}.order(true);
  using clock = std::chrono::steady_clock;
  struct put_in {
    clock::time_point asked, answered;
  };
  constexpr int each = 60;
  std::mutex guard;
  std::map<job_id, put_in> put;
  std::vector<job_id> order; ///< of the first starts
  std::vector<std::string> wrong;
  std::atomic<int> inside{0};
  std::atomic<int> ended{0};
  const auto note = [&](const std::string& what) { // and nobody waits for what does not come
    const std::lock_guard lock(guard);
    wrong.push_back(what);
    ended = 3 * each;
  };
  const auto produce = [&](desk& by) {
    for (int i = 0; i < each; ++i) {
      const auto asked = clock::now();
      const auto id = by.enqueue();
      const std::lock_guard lock(guard);
      put[id] = {asked, clock::now()};
    }
  };
  const auto work = [&](desk& by, unsigned seed) {
    std::mt19937 random(seed);
    by.join();
    const auto deadline = clock::now() + 4 * patience;
    while (ended < 3 * each) {
      if (clock::now() > deadline)
        return note("not all jobs ended in time");
      const auto batch = by.claim_for(5, 16, 0);
      if (batch.jobs.empty()) {
        by.promote();
        continue;
      }
      if (batch.jobs.size() > 1 || ++inside > 1)
        note("two at once");
      const auto& run = *batch.jobs.at(0);
      if (run.attempt == 1) {
        const std::lock_guard lock(guard);
        order.push_back(run.id);
      }
      const bool fails = run.attempt == 1 && random() % 4 == 0;
      --inside;
      by.finish(batch, fails ? failed("no") : completed(), 0ms);
      if (!fails)
        ++ended;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 3; ++i) {
    threads.push_back(on_thread(here, produce, note));
    threads.push_back(on_thread(
        here, [&work, i](desk& by) { work(by, i); }, note));
  }
  for (auto& one : threads)
    one.join();
  for (const auto& what : wrong)
    BOOST_ERROR(what);
  BOOST_REQUIRE_EQUAL(order.size(), std::size_t{3} * each);
  int disordered = 0;
  for (std::size_t later = 1; later < order.size(); ++later)
    for (std::size_t sooner = 0; sooner < later; ++sooner)
      disordered += put.at(order[later]).answered < put.at(order[sooner]).asked ? 1 : 0;
  BOOST_TEST(disordered == 0);
}

BOOST_AUTO_TEST_SUITE_END()
