// Limits per key under random operations: nodes that claim, end runs and die, people who cancel,
// retry, delete and change the limit, beside an independent model. No key ever has more runs than
// allowed, what is set aside comes back in its order, nothing is forgotten and nothing comes twice.
// Then the same with threads: what runs at once is counted outside the database.
#include "tests/db/desk.hpp"

#include <array>
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

const std::array<std::string, 4> key_names{"", "a", "b", "c"};

struct known_job {
  std::string key;
  int priority = 0;
  enum { waits, later, runs, over } is = waits;
};

struct busy_node {
  explicit busy_node(const std::string& url) : at(url) { at.join(); }

  desk at;
  std::vector<claimed_jobs> batches; ///< whose runs are not ended
};

/// The first of a batch's runs, which end when a transaction commits.
struct ending {
  busy_node* node;
  claimed_jobs batch;
  std::size_t runs;
};

struct key_play : jobs_database {
  explicit key_play(unsigned seed) : random(seed) {
    if (moves)
      move_at_once();
    for (int i = 0; i < 3; ++i)
      nodes.push_back(std::make_unique<busy_node>(database.url()));
    at.limit_keys(limit);
  }

  /// What is set aside moves to the next generation whenever something has died, as if somebody
  /// held a snapshot all the time.
  void move_at_once() {
    database.exec("select troupe.edit_function('take_keyed', 's.spent >= 500', 's.spent >= 2');"
                  "select troupe.edit_function('keeps_what_died', 'age(a.backend_xmin) > 1000"
                  " and a.pid <> pg_backend_pid()', 'true')");
  }
  int pick(int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); }
  busy_node& some_node() { return *nodes[static_cast<std::size_t>(pick(3))]; }
  job_id some_job() {
    auto found = jobs.begin();
    std::advance(found, pick(static_cast<int>(jobs.size())));
    return found->first;
  }

  std::vector<job_spec> some_specs() {
    std::vector<job_spec> specs;
    for (int i = 1 + pick(12); i > 0; --i)
      specs.push_back({.kind = "noop",
                       .priority = pick(2),
                       .limit_key = key_names[static_cast<std::size_t>(pick(4))]});
    return specs;
  }
  /// Half of all go to the same lanes, so that writers meet there.
  void choose_lane(desk& writer) {
    if (pick(2) == 0)
      writer.ask(db::make_query("select setseed(0)"));
  }
  void enqueue() {
    choose_lane(at);
    const auto specs = some_specs();
    know(at.enqueue(specs), specs);
  }
  void begin_late() {
    if (!late_is_open)
      late.begin();
    late_is_open = true;
  }
  /// In a transaction that stays open while others claim what came after it.
  void enqueue_late() {
    begin_late();
    choose_lane(late);
    const auto specs = some_specs();
    const auto ids = late.enqueue(specs);
    for (std::size_t i = 0; i < ids.size(); ++i)
      open[ids[i]] = {specs[i].limit_key, specs[i].priority};
  }
  /// Ends some runs of a batch there: for everybody else they go on until it commits.
  void finish_late(busy_node& node) {
    if (node.batches.empty())
      return;
    begin_late();
    ending one{&node, std::move(node.batches.back()), {}};
    node.batches.pop_back();
    finish_runs what{node.at.node, {}, {}, {}};
    one.runs = 1 + static_cast<std::size_t>(pick(static_cast<int>(one.batch.jobs.size())));
    for (std::size_t i = 0; i < one.runs; ++i)
      what.runs.push_back(ended(one.batch, *one.batch.jobs[i], completed()));
    if (one.runs == one.batch.jobs.size())
      what.done.push_back(one.batch.lease);
    late.finish(what);
    endings.push_back(std::move(one));
  }
  void end_late() {
    if (!late_is_open)
      return;
    const bool stays = pick(4) != 0;
    stays ? late.commit() : late.rollback();
    late_is_open = false;
    if (stays)
      jobs.merge(open);
    open.clear();
    for (auto& one : endings) {
      if (stays) {
        for (std::size_t i = 0; i < one.runs; ++i)
          end_of_run(one.batch.jobs[i]->id, known_job::over);
        one.batch.jobs.erase(one.batch.jobs.begin(),
                             one.batch.jobs.begin() + static_cast<std::ptrdiff_t>(one.runs));
      }
      if (!one.batch.jobs.empty())
        one.node->batches.push_back(std::move(one.batch));
    }
    endings.clear();
  }
  /// Before what would wait for its locks.
  void let_late_end() {
    if (!endings.empty())
      end_late();
  }
  void know(const std::vector<job_id>& ids, const std::vector<job_spec>& specs) {
    for (std::size_t i = 0; i < ids.size(); ++i)
      jobs[ids[i]] = {specs[i].limit_key, specs[i].priority};
  }

  /// Of each key the jobs that are set aside and still to be run, in the order that is promised.
  std::map<std::string, std::vector<job_id>> set_aside() {
    std::map<std::string, std::vector<job_id>> all;
    const auto rows = at.ask(db::make_query("select limit_key, job_id from troupe.parked order by "
                                            "limit_key, priority, job_id, attempt"));
    for (int i = 0; i < rows.rows(); ++i) {
      const job_id id{rows[i].get<std::int64_t>(1)};
      const auto found = jobs.find(id);
      if (found != jobs.end() && found->second.is == known_job::waits)
        all[rows[i].get<std::string>(0)].push_back(id);
    }
    return all;
  }

  bool claim(busy_node& node) {
    const auto aside = set_aside();
    auto batch = node.at.claim(1 + pick(6));
    std::map<std::string, std::vector<job_id>> given;
    for (const auto& run : batch.jobs) {
      const auto found = jobs.find(run->id);
      BOOST_REQUIRE_MESSAGE(found != jobs.end() && found->second.is == known_job::waits,
                            "job " << run->id.value << " is not to be run");
      found->second.is = known_job::runs;
      ++running[found->second.key];
      given[found->second.key].push_back(run->id);
    }
    for (const auto& [key, ids] : given) {
      if (limit && !key.empty())
        BOOST_REQUIRE_MESSAGE(running[key] <= *limit, running[key] << " of " << key);
      const auto waited = aside.find(key);
      if (limit && waited != aside.end()) {
        BOOST_REQUIRE(ids.size() <= waited->second.size());
        BOOST_REQUIRE_MESSAGE(std::equal(ids.begin(), ids.end(), waited->second.begin()),
                              "not in order: " << key);
      }
    }
    if (batch.jobs.empty())
      return batch.again.value_or(false);
    node.batches.push_back(std::move(batch));
    return true;
  }

  void end_of_run(job_id id, decltype(known_job::is) now) {
    auto& job = jobs.at(id);
    --running[job.key];
    if (job.is == known_job::runs)
      job.is = now;
  }
  void finish(busy_node& node, bool plainly = false) {
    if (node.batches.empty())
      return;
    const auto which = static_cast<std::size_t>(pick(static_cast<int>(node.batches.size())));
    auto& batch = node.batches[which];
    finish_runs what{node.at.node, {}, {}, {}};
    for (int i = 1 + pick(static_cast<int>(batch.jobs.size())); i > 0; --i) {
      const auto run = batch.jobs.back();
      batch.jobs.pop_back();
      const int how = plainly ? 0 : pick(4);
      const auto result = how < 2 ? completed() : how == 2 ? failed("again") : snoozed(1h);
      what.runs.push_back(ended(batch, *run, result));
      end_of_run(run->id, how < 2 ? known_job::over : known_job::later);
      ended_runs += how < 2;
    }
    if (batch.jobs.empty())
      what.done.push_back(batch.lease);
    node.at.finish(what);
    if (pick(5) == 0) // the answer was lost
      node.at.finish(what);
    if (batch.jobs.empty())
      node.batches.erase(node.batches.begin() + static_cast<std::ptrdiff_t>(which));
  }
  void die(busy_node& node) {
    make_old(node.at.node);
    at.rescue(node.at.node);
    for (const auto& batch : node.batches)
      for (const auto& run : batch.jobs) {
        // The third loss in a row is the last.
        const bool last = run->losses == 2 && jobs.at(run->id).is == known_job::runs
                          && at.state(run->id) == "discarded";
        end_of_run(run->id, last ? known_job::over : known_job::waits);
      }
    node.batches.clear();
    node.at.join();
  }
  void cancel() {
    if (jobs.empty())
      return;
    const auto id = some_job();
    if (jobs[id].is == known_job::over)
      return;
    at.cancel(id);
    jobs[id].is = known_job::over; // its run, if there is one, keeps its key
  }
  void retry() {
    if (jobs.empty())
      return;
    const auto id = some_job();
    const bool runs = std::any_of(nodes.begin(), nodes.end(), [&](const auto& node) {
      return std::any_of(node->batches.begin(), node->batches.end(), [&](const auto& batch) {
        return std::any_of(batch.jobs.begin(), batch.jobs.end(),
                           [&](const auto& run) { return run->id == id; });
      });
    });
    if (runs || (jobs[id].is != known_job::over && jobs[id].is != known_job::later))
      return;
    at.retry(id);
    jobs[id].is = known_job::waits;
  }
  void remove() {
    if (jobs.empty())
      return;
    const auto id = some_job();
    if (jobs[id].is != known_job::waits)
      return;
    at.remove(id);
    jobs.erase(id);
  }
  void promote() {
    let_time_pass();
    at.promote();
    for (auto& [id, job] : jobs)
      if (job.is == known_job::later)
        job.is = known_job::waits;
  }
  void change_limit() {
    end_late(); // it would wait for the writer
    limit = pick(4) == 0 ? std::nullopt : std::optional{1 + pick(4)};
    at.limit_keys(limit);
  }
  void one_step() {
    const int what = pick(33);
    if (what >= 4 && what <= 10)
      let_late_end();
    if (what < 4)
      enqueue();
    else if (what == 4)
      cancel();
    else if (what == 5)
      retry();
    else if (what == 6)
      remove();
    else if (what == 7)
      promote();
    else if (what == 8 && pick(3) == 0)
      change_limit();
    else if (what == 9 && pick(3) == 0)
      die(some_node());
    else if (what == 10)
      at.keep_up();
    else if (what == 11)
      make_batches_old(at);
    else if (what == 12)
      enqueue_late();
    else if (what == 13)
      end_late();
    else if (what < 16)
      finish_late(some_node());
    else if (what < 22)
      finish(some_node());
    else
      claim(some_node());
  }
  /// Every key that has something set aside is full, or noted.
  void check() {
    if (!limit)
      return;
    const auto lost = at.ask(db::make_query(
        "select count(*) from (select distinct limit_key from troupe.parked) p "
        "where not exists (select from troupe.key_turn t where t.limit_key = p.limit_key"
        "                   and t.generation = (troupe.key_state_of('default')).generation)"
        " and (select coalesce(sum(cardinality(jobs)), 0) from troupe.key_runs r"
        "       where r.limit_key = p.limit_key) < $1::int",
        *limit));
    BOOST_REQUIRE_EQUAL(lost.one().get<std::int64_t>(0), 0);
  }
  void end() {
    end_late();
    promote();
    for (int idle = 0; idle < 20;) {
      bool any = false;
      for (const auto& node : nodes) {
        any = claim(*node) || any;
        any = any || !node->batches.empty();
        finish(*node, true);
      }
      idle = any ? 0 : idle + 1;
    }
    for (const auto& [id, job] : jobs)
      BOOST_REQUIRE_MESSAGE(job.is == known_job::over, "job " << id.value << " was forgotten");
    BOOST_TEST(at.queue()->waiting == 0);
    BOOST_TEST(at.queue()->running == 0);
    BOOST_TEST(count("key_runs") == 0);
    generations = std::stoi(database.value("select max(generation) from troupe.key_state"));
  }

  std::mt19937 random;
  bool moves = random() % 2 == 0;
  desk late{database.url()};
  bool late_is_open = false;
  std::map<job_id, known_job> open; ///< what `late` has not committed
  std::vector<ending> endings;      ///< neither these
  std::vector<std::unique_ptr<busy_node>> nodes;
  std::optional<int> limit = 2;
  std::map<job_id, known_job> jobs;
  std::map<std::string, int> running; ///< of each key, on all nodes, as they would say
  int ended_runs = 0;
  int generations = 0;
};

unsigned first_seed() {
  const char* given = std::getenv("TROUPE_SEED"); // NOLINT(concurrency-mt-unsafe)
  return given ? static_cast<unsigned>(std::atoi(given)) : 1;
}

} // namespace

BOOST_AUTO_TEST_CASE(whatever_happens_no_key_has_more_runs_than_its_limit_and_no_job_is_forgotten) {
  int ended_runs = 0;
  int generations = 0;
  const auto first = first_seed();
  for (unsigned seed = first; seed < first + 10; ++seed)
    BOOST_TEST_CONTEXT("seed " << seed) {
      key_play one(seed);
      one.enqueue();
      for (int i = 0; i < 300; ++i) {
        one.one_step();
        one.check();
      }
      one.end();
      ended_runs += one.ended_runs;
      generations += one.generations;
    }
  BOOST_TEST(ended_runs > 1000);
  BOOST_TEST(generations > 20);
}

BOOST_FIXTURE_TEST_CASE(a_cancelled_run_still_counts_when_the_limit_is_set_anew, jobs_database) {
  at.limit_keys(1);
  at.enqueue(std::vector<job_spec>(2, job_spec{.kind = "noop", .limit_key = "a"}));
  const auto first = at.claim_one();
  at.cancel(first.jobs.at(0)->id);
  at.limit_keys(std::nullopt);
  at.limit_keys(1);
  BOOST_TEST(at.claim().jobs.empty());
  at.finish(first);
  BOOST_TEST(at.claim().jobs.size() == 1U);
}

BOOST_AUTO_TEST_CASE(threads_never_have_more_runs_of_a_key_than_its_limit_and_lose_none) {
  constexpr int limit = 2;
  constexpr int each = 150;
  jobs_database base;
  base.at.limit_keys(limit);
  std::map<std::int64_t, std::size_t> key_of;
  for (int some = 0; some < 5; ++some)
    for (std::size_t key = 1; key < key_names.size(); ++key)
      for (const auto id : base.at.enqueue_keyed(each / 5, key_names[key]))
        key_of[id.value] = key;
  std::array<std::atomic<int>, 4> in_use{};
  std::array<std::atomic<int>, 4> most{};
  std::atomic<int> ended_jobs{0};
  std::mutex guard;
  std::vector<std::string> problems;
  const int all = 3 * each;
  const auto work = [&](unsigned seed) {
    try {
      busy_node node(base.database.url());
      std::mt19937 random(seed);
      while (ended_jobs < all) {
        if (node.batches.size() < 2) {
          auto batch = node.at.claim(1 + static_cast<int>(random() % 4));
          for (const auto& run : batch.jobs) {
            const auto key = key_of.at(run->id.value);
            const int now = ++in_use[key];
            for (int seen = most[key]; now > seen && !most[key].compare_exchange_weak(seen, now);)
              ;
          }
          if (!batch.jobs.empty())
            node.batches.push_back(std::move(batch));
        }
        if (node.batches.empty() || random() % 3 == 0)
          continue;
        const auto batch = std::move(node.batches.front());
        node.batches.erase(node.batches.begin());
        for (const auto& run : batch.jobs) // before it is told
          --in_use[key_of.at(run->id.value)];
        node.at.finish(batch);
        ended_jobs += static_cast<int>(batch.jobs.size());
      }
    } catch (const std::exception& problem) {
      const std::lock_guard lock(guard);
      problems.emplace_back(problem.what());
      ended_jobs = all;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 1; i <= 4; ++i)
    threads.emplace_back(work, i);
  for (auto& one : threads)
    one.join();
  for (const auto& problem : problems)
    BOOST_ERROR(problem);
  for (std::size_t key = 1; key < key_names.size(); ++key)
    BOOST_TEST(most[key] == limit);
  BOOST_TEST(base.count("attempt where outcome = 1") == all);
  BOOST_TEST(base.count("parked") == 0);
}
