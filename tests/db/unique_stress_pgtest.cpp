// Unique jobs under many writers at once, with claims, cancels, retries and upkeep beside them:
// never two live jobs of one key, no deadlock, and everybody hears of a job that has his key. Then
// the same calls in random order against a model. The seed is printed; TROUPE_SEED repeats its
// choices.
#include "tests/db/keyed_desk.hpp"

#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

unsigned seed() {
  const char* given = std::getenv("TROUPE_SEED"); // NOLINT(concurrency-mt-unsafe)
  const auto value =
      given != nullptr ? static_cast<unsigned>(std::stoul(given)) : std::random_device{}();
  BOOST_TEST_MESSAGE("TROUPE_SEED=" << value);
  return value;
}

std::string args_of(int key, unsigned n) {
  return "{\"k\":" + std::to_string(key) + ",\"n\":" + std::to_string(n) + "}";
}

constexpr int writers = 16;
constexpr int batches = 40;
constexpr int keys = 24;

constexpr const char* live_twice =
    "select count(*) from (select u.digest from troupe.unique_job u join troupe.jobs j on j.id = "
    "u.job_id "
    "where j.state in ('scheduled', 'available', 'running', 'retryable') "
    "group by u.digest having count(*) > 1) twice";

/// What the threads share.
struct play {
  explicit play(std::string database_url) : url(std::move(database_url)) {}
  std::string url;
  std::atomic<int> writing{writers};
  std::mutex guard;
  std::vector<std::pair<std::int64_t, int>> heard; ///< a job's id, and for which key
  std::set<std::pair<std::int64_t, int>> handed_out;
  std::vector<std::string> problems;

  void note(std::string problem) {
    const std::lock_guard lock(guard);
    problems.push_back(std::move(problem));
  }
  template<class Act>
  void run(Act act) {
    try {
      desk mine(url);
      act(mine);
    } catch (const std::exception& problem) {
      note(problem.what());
    }
  }
};

enqueue_jobs some_jobs(std::mt19937& random, std::vector<int>& wanted) {
  enqueue_jobs batch;
  for (auto left = 1 + random() % 12; left > 0; --left) {
    const auto key = static_cast<int>(random() % keys);
    job_spec job{.kind = "only",
                 .args = args_of(key, random() % 1000),
                 .unique = unique_rule{.fields = {"k"}}};
    job.unique->conflict = static_cast<on_conflict>(random() % 3);
    job.priority = static_cast<int>(random() % 3) * 4;
    if (random() % 4 == 0)
      job.delay = std::chrono::milliseconds{random() % 3 * 1000};
    batch.jobs.push_back(std::move(job));
    batch.parts.push_back({1, ""});
    wanted.push_back(key);
  }
  return batch;
}

void write(play& all, desk& mine, std::mt19937 random) {
  for (int i = 0; i < batches; ++i) {
    std::vector<int> wanted;
    const auto batch = some_jobs(random, wanted);
    const bool own = random() % 3 == 0;
    const bool taken_back = own && random() % 2 == 0;
    if (own)
      mine.begin();
    const auto told = put(mine, batch);
    if (own)
      taken_back ? mine.rollback() : mine.commit();
    const std::lock_guard lock(all.guard);
    for (std::size_t k = 0; k < wanted.size() && !taken_back; ++k)
      all.heard.emplace_back(told.ids[k].value, wanted[k]);
  }
}

/// Ends jobs in all ways, and wakes some of them again.
void steer(play& all, desk& mine, std::mt19937 random) {
  while (all.writing > 0) {
    const auto batch = mine.claim(static_cast<int>(1 + random() % 5));
    for (const auto& run : batch.jobs) {
      const std::lock_guard lock(all.guard);
      if (!all.handed_out.emplace(run->id.value, run->attempt).second)
        all.problems.push_back("handed out twice: job " + std::to_string(run->id.value));
    }
    if (!batch.jobs.empty())
      mine.finish(batch, random() % 3 == 0 ? failed("x") : completed(), 0ms);
    mine.promote();
    std::int64_t some = 0;
    {
      const std::lock_guard lock(all.guard);
      if (!all.heard.empty())
        some = all.heard[random() % all.heard.size()].first;
    }
    try {
      if (random() % 2 == 0)
        mine.cancel(job_id{some});
      else
        mine.retry(job_id{some});
    } catch (const refused& e) {
      if (!is_conflict(e) && !is_not_found(e))
        throw;
    }
    mine.keep_up();
  }
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(unique_jobs_under_load, jobs_database)

BOOST_AUTO_TEST_CASE(sixteen_writers_of_shuffled_batches_never_make_two_live_jobs_of_a_key) {
  std::mt19937 random(seed());
  play all(database.url());
  std::vector<std::thread> threads;
  for (int i = 0; i < writers; ++i)
    threads.emplace_back([&all, own = std::mt19937(random())] {
      all.run([&](desk& mine) { write(all, mine, own); });
      --all.writing;
    });
  for (int i = 0; i < 2; ++i)
    threads.emplace_back([&all, own = std::mt19937(random())] {
      all.run([&](desk& mine) { steer(all, mine, own); });
    });
  std::string twice = "0";
  while (all.writing > 0 && twice == "0")
    twice = database.value(live_twice);
  for (auto& thread : threads)
    thread.join();
  BOOST_TEST(twice == "0");
  BOOST_TEST(database.value(live_twice) == "0");
  for (const auto& problem : all.problems)
    BOOST_ERROR(problem);
  BOOST_TEST(all.heard.size() > 500U);
  std::map<std::int64_t, int> known;
  for (const auto& row : database.query_text("select id, args ->> 'k' from troupe.job"))
    known[std::stoll(row[0])] = std::stoi(row[1]);
  for (const auto& [id, key] : all.heard)
    BOOST_TEST((known.contains(id) && known[id] == key), "job " << id << " for key " << key);
  BOOST_TEST(database.value("select count(*) from troupe.unique_key where job_id = 0") == "0");
}

// -- a model

namespace {

struct model {
  struct job {
    int key;
    job_state state;
    bool remembered; ///< its rule names completed
  };
  std::map<std::int64_t, job> jobs;
  std::map<int, std::int64_t> holders;

  static bool in_the_way(job_state state, bool remembering) {
    return !is_final(state) || (remembering && state == job_state::completed);
  }
  /// Whom a job with this rule meets, or 0.
  std::int64_t met(int key, bool remembering) const {
    const auto holder = holders.find(key);
    return holder != holders.end() && in_the_way(jobs.at(holder->second).state, remembering)
               ? holder->second
               : 0;
  }
  void forget() {
    std::erase_if(holders, [&](const auto& held) {
      const auto& one = jobs.at(held.second);
      return !in_the_way(one.state, one.remembered);
    });
  }
};

struct random_play : jobs_database {
  model is;
  std::mt19937 random{seed()};

  std::int64_t any_job() {
    auto at_random = is.jobs.begin();
    std::advance(at_random, static_cast<std::ptrdiff_t>(random() % is.jobs.size()));
    return at_random->first;
  }
  void put_one() {
    const auto key = static_cast<int>(random() % 4);
    const bool remembering = random() % 3 == 0;
    const bool later = random() % 3 == 0;
    job_spec job{.kind = "only",
                 .args = args_of(key, random() % 100),
                 .unique = unique_rule{.fields = {"k"}}};
    job.priority = static_cast<int>(random() % 2);
    job.unique->conflict = static_cast<on_conflict>(random() % 3);
    if (remembering)
      job.unique->states = {job_state::scheduled, job_state::available, job_state::running,
                            job_state::retryable, job_state::completed};
    if (later)
      job.delay = 1h;
    const auto state = later ? job_state::scheduled : job_state::available;
    const auto other = is.met(key, remembering);
    const auto told = put(at, job);
    if (other == 0) {
      BOOST_REQUIRE_EQUAL(told.fate, enqueue_fate::created);
      is.jobs[told.id.value] = {key, state, remembering};
      is.holders[key] = told.id.value;
      return;
    }
    BOOST_REQUIRE_EQUAL(told.id.value, other);
    auto& held = is.jobs.at(other).state;
    const bool waits = !is_final(held) && held != job_state::running;
    const auto wanted = job.unique->conflict == on_conflict::reject ? enqueue_fate::rejected
                        : job.unique->conflict == on_conflict::replace && waits
                            ? enqueue_fate::replaced
                            : enqueue_fate::existing;
    BOOST_REQUIRE_EQUAL(told.fate, wanted);
    if (wanted == enqueue_fate::replaced)
      held = state;
  }
  void run_one() {
    const auto batch = at.claim(1);
    if (batch.jobs.empty())
      return;
    auto& job = is.jobs.at(batch.jobs[0]->id.value);
    BOOST_REQUIRE_EQUAL(job.state, job_state::available);
    job.state = job_state::running;
    if (random() % 4 == 0)
      put_one();
    const auto how = random() % 3;
    at.finish(batch, how == 0 ? completed() : how == 1 ? failed("x") : discarded("x"));
    job.state = how == 0   ? job_state::completed
                : how == 1 ? job_state::retryable
                           : job_state::discarded;
  }
  template<class Act>
  errc code_of(Act act) {
    try {
      act();
      return errc::none;
    } catch (const refused& e) {
      return e.why.code;
    }
  }
  void retry_one() {
    const auto id = any_job();
    auto& job = is.jobs.at(id);
    const auto other = is.met(job.key, job.remembered);
    const bool allowed =
        is_final(job.state) ? other == 0 || other == id : job.state != job_state::available;
    BOOST_REQUIRE_EQUAL(code_of([&] { at.retry(job_id{id}); }),
                        allowed ? errc::none : errc::conflict);
    if (!allowed)
      return;
    job.state = job_state::available;
    is.holders[job.key] = id;
  }
  void cancel_one() {
    const auto id = any_job();
    auto& state = is.jobs.at(id).state;
    BOOST_REQUIRE_EQUAL(code_of([&] { at.cancel(job_id{id}); }),
                        is_final(state) ? errc::conflict : errc::none);
    if (!is_final(state))
      state = job_state::cancelled;
  }
  void remove_one() {
    const auto id = any_job();
    at.remove(job_id{id});
    const auto key = is.jobs.at(id).key;
    is.jobs.erase(id);
    if (const auto held = is.holders.find(key); held != is.holders.end() && held->second == id)
      is.holders.erase(held);
  }
  void step() {
    switch (random() % 10) {
    case 0:
    case 1:
      return run_one();
    case 2:
      return is.jobs.empty() ? put_one() : retry_one();
    case 3:
      return is.jobs.empty() ? put_one() : cancel_one();
    case 4:
      return is.jobs.size() < 6 ? put_one() : remove_one();
    case 5:
      at.keep_up();
      return is.forget();
    default:
      return put_one();
    }
  }
};

} // namespace

BOOST_FIXTURE_TEST_CASE(random_calls_do_what_the_model_does, random_play) {
  for (int i = 0; i < 600; ++i) {
    step();
    for (const auto& [id, job] : is.jobs)
      if (i % 10 == 0)
        BOOST_REQUIRE_EQUAL(at.state(job_id{id}), std::string{to_string(job.state)});
  }
}

BOOST_AUTO_TEST_SUITE_END()
