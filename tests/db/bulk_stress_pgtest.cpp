// Operations on many jobs beside nodes that claim, fail, put off and finish them: first step by
// step against a model of every job, then on threads. The seed is printed; TROUPE_SEED repeats the
// choices.
#include "tests/db/bulk_desk.hpp"

#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <thread>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

unsigned given_seed() {
  const char* given = std::getenv("TROUPE_SEED");
  return given ? static_cast<unsigned>(std::stoul(given)) : std::random_device{}();
}

constexpr std::array<const char*, 3> queues{"red", "green", "blue"};

/// What a job has to be.
struct modelled {
  std::string queue;
  int priority = 0;
  job_state state = job_state::available;
  std::string kind;
  int run = 0; ///< the attempt that runs, or ran last
};

bool waits(job_state state) {
  return state == job_state::scheduled || state == job_state::available
         || state == job_state::retryable;
}

struct play_of_steps : bulk_desk {
  std::mt19937 random;
  std::map<std::int64_t, modelled> jobs;
  struct running_batch {
    desk* node;
    claimed_jobs batch;
  };
  std::vector<running_batch> runs;
  std::map<std::pair<std::int64_t, int>, int> handed_out; ///< (job, attempt)

  std::size_t one_of(std::size_t count) { return random() % count; }
  std::string a_queue() { return queues[one_of(queues.size())]; }

  void enqueue_some() {
    std::vector<job_spec> specs(1 + one_of(12));
    for (auto& spec : specs) {
      spec = {.kind = one_of(2) != 0 ? "noop" : "echo",
              .queue = a_queue(),
              .priority = static_cast<int>(one_of(3)),
              .max_attempts = 1000};
      if (one_of(4) == 0)
        spec.delay = 1h;
      if (one_of(3) == 0)
        spec.limit_key = one_of(2) != 0 ? "a" : "b";
    }
    const auto ids = at.enqueue(specs);
    for (std::size_t i = 0; i < ids.size(); ++i)
      jobs[ids[i].value] = {specs[i].queue, specs[i].priority,
                            specs[i].delay ? job_state::scheduled : job_state::available,
                            specs[i].kind};
  }
  void claim_some() {
    auto& node = one_of(2) != 0 ? at : other;
    const auto queue = a_queue();
    const auto batch = node.claim(1 + static_cast<int>(one_of(6)), queue);
    for (const auto& run : batch.jobs) {
      BOOST_TEST((++handed_out[{run->id.value, run->attempt}] == 1), "handed out twice");
      const auto found = jobs.find(run->id.value);
      BOOST_REQUIRE(found != jobs.end());
      BOOST_TEST(to_string(found->second.state) == "available");
      BOOST_TEST(found->second.queue == queue);
      BOOST_TEST(found->second.kind == run->kind);
      found->second.state = job_state::running;
      found->second.run = run->attempt;
    }
    if (!batch.jobs.empty())
      runs.push_back({&node, batch});
  }
  void end_some() {
    if (runs.empty())
      return;
    const auto which = one_of(runs.size());
    auto [node, batch] = runs[which];
    runs.erase(runs.begin() + static_cast<std::ptrdiff_t>(which));
    const auto how = one_of(4);
    const auto ended = node->finish(batch, how == 0   ? failed("x")
                                           : how == 1 ? discarded("x")
                                           : how == 2 ? snoozed(1h)
                                                      : completed());
    const auto fenced = set_of(ended.fenced);
    for (const auto& run : batch.jobs) {
      const auto found = jobs.find(run->id.value);
      if (found == jobs.end()) // cancelled while it ran, and deleted: nobody asks for it any more
        continue;
      // It may have been cancelled, retried, and run a second time meanwhile.
      const bool runs_on =
          found->second.state == job_state::running && found->second.run == run->attempt;
      if (how != 2) // a snooze of a cancelled job is fenced, too, but may be told otherwise
        BOOST_TEST((fenced.count(run->id.value) == 0) == runs_on);
      if (!runs_on)
        continue;
      if (how == 2)
        handed_out.erase({run->id.value, run->attempt}); // the same attempt comes again
      found->second.state = how == 0   ? job_state::retryable
                            : how == 1 ? job_state::discarded
                            : how == 2 ? job_state::scheduled
                                       : job_state::completed;
    }
  }
  void let_time_go_on() {
    database.exec("update troupe.deferred set due_at = now() - interval '1 s' where job_id % 3 = "
                  + std::to_string(one_of(3)));
    const auto due = at.ask(
        db::make_query("select job_id from troupe.deferred where due_at <= now() order by job_id"));
    at.promote();
    for (int i = 0; i < due.rows(); ++i)
      jobs.at(due[i].get<std::int64_t>(0)).state = job_state::available;
  }

  bulk_request any_request() {
    bulk_request what;
    what.action = static_cast<bulk_action>(one_of(5));
    if (what.action == bulk_action::move)
      what.to_queue = a_queue();
    if (what.action == bulk_action::reprioritise || (what.to_queue && one_of(2) != 0))
      what.to_priority = static_cast<int>(one_of(4));
    if (one_of(5) == 0) {
      for (const auto& [id, job] : jobs)
        if (one_of(4) == 0)
          what.ids.push_back(job_id{id});
      if (!what.ids.empty())
        return what;
    }
    if (one_of(2) != 0)
      what.filter.queue = a_queue();
    if (one_of(3) == 0)
      what.filter.kind = "noop";
    static const std::map<bulk_action, std::vector<job_state>> fitting{
        {bulk_action::cancel,
         {job_state::scheduled, job_state::available, job_state::running, job_state::retryable}},
        {bulk_action::retry,
         {job_state::scheduled, job_state::retryable, job_state::completed, job_state::cancelled,
          job_state::discarded}},
        {bulk_action::remove,
         {job_state::scheduled, job_state::available, job_state::retryable, job_state::completed,
          job_state::cancelled, job_state::discarded}}};
    static const std::vector<job_state> waiting{job_state::scheduled, job_state::available,
                                                job_state::retryable};
    const auto found = fitting.find(what.action);
    const auto& states = found == fitting.end() ? waiting : found->second;
    if (what.action == bulk_action::retry || one_of(2) != 0)
      what.filter.state = states[one_of(states.size())];
    if (!what.filter.queue && !what.filter.kind && !what.filter.state)
      what.all = true;
    return what;
  }
  /// Does it to the model's job; whether it changes.
  bool apply(const bulk_request& what, std::int64_t id, modelled& job, bool& gone) {
    const auto& [action, filter, all, ids, to_queue, to_priority, by] = what;
    if (!ids.empty() && std::find(ids.begin(), ids.end(), job_id{id}) == ids.end())
      return false;
    if ((filter.queue && *filter.queue != job.queue) || (filter.kind && *filter.kind != job.kind)
        || (filter.state && *filter.state != job.state))
      return false;
    switch (action) {
    case bulk_action::cancel:
      if (is_final(job.state))
        return false;
      job.state = job_state::cancelled;
      return true;
    case bulk_action::retry:
      if (job.state == job_state::running || job.state == job_state::available)
        return false;
      job.state = job_state::available;
      return true;
    case bulk_action::remove:
      gone = job.state != job_state::running;
      return gone;
    default:
      break;
    }
    const auto queue = to_queue.value_or(job.queue);
    const auto priority = to_priority.value_or(job.priority);
    if (!waits(job.state) || (queue == job.queue && priority == job.priority))
      return false;
    job.queue = queue;
    job.priority = priority;
    return true;
  }

  /// An operation from beginning to end, with other things between its steps.
  void operate() {
    const auto what = any_request();
    const auto id = start(what);
    const auto last = jobs.empty() ? 0 : jobs.rbegin()->first;
    std::int64_t changed = 0, reached = 0;
    for (;;) {
      const bool lost = one_of(6) == 0;
      if (lost)
        at.begin();
      const auto done = step(1 + static_cast<int>(one_of(20)));
      BOOST_REQUIRE_EQUAL(done.error, "");
      BOOST_REQUIRE_EQUAL(done.id, id);
      if (lost) {
        at.rollback();
        continue;
      }
      const auto now = bulk(id);
      const auto to = now.state == "done" ? last : now.reached;
      for (auto job = jobs.upper_bound(reached); job != jobs.end() && job->first <= to;) {
        bool gone = false;
        changed += apply(what, job->first, job->second, gone) ? 1 : 0;
        job = gone ? jobs.erase(job) : std::next(job);
      }
      reached = std::max(reached, to);
      BOOST_TEST(now.changed == changed);
      BOOST_TEST(now.matched == now.changed + now.skipped);
      if (now.state == "done")
        return;
      for (auto more = one_of(3); more > 0; --more)
        something_else();
    }
  }
  void edit_some() {
    if (jobs.empty())
      return;
    auto found = jobs.lower_bound(static_cast<std::int64_t>(random()) % (jobs.rbegin()->first + 1));
    if (found == jobs.end())
      return;
    edit_job what{.id = job_id{found->first}};
    what.queue = a_queue();
    if (one_of(2) != 0)
      what.priority = static_cast<int>(one_of(4));
    if (one_of(3) == 0)
      what.run_at = std::optional<timestamp>{};
    else if (one_of(3) == 0)
      what.run_at = timestamp{std::chrono::sys_days{std::chrono::year{2031} / 1 / 1}};
    if (!waits(found->second.state)) {
      BOOST_CHECK_EXCEPTION(edit(what), refused, is_conflict);
      return;
    }
    edit(what);
    found->second.queue = *what.queue;
    found->second.priority = what.priority.value_or(found->second.priority);
    if (what.run_at && !*what.run_at)
      found->second.state = job_state::available;
    else if (what.run_at && found->second.state == job_state::available)
      found->second.state = job_state::scheduled;
  }
  void something_else() {
    switch (one_of(6)) {
    case 0:
      return enqueue_some();
    case 1:
      return end_some();
    case 2:
      return let_time_go_on();
    case 3:
      return edit_some();
    case 4:
      at.keep_up();
      return;
    default:
      return claim_some();
    }
  }
  void compare() {
    std::map<std::int64_t, std::string> wanted, found;
    for (const auto& [id, job] : jobs)
      wanted[id] =
          std::string{to_string(job.state)} + " " + job.queue + " " + std::to_string(job.priority);
    const auto rows = at.ask(db::make_query(
        "select id, state || ' ' || queue || ' ' || priority from troupe.jobs order by id"));
    for (int i = 0; i < rows.rows(); ++i)
      found[rows[i].get<std::int64_t>(0)] = rows[i].get<std::string>(1);
    BOOST_TEST((wanted == found));
    for (const auto& [id, what] : wanted)
      if (found[id] != what)
        BOOST_ERROR(id << " is " << found[id] << " and not " << what);
  }
};

} // namespace

BOOST_FIXTURE_TEST_CASE(many_operations_and_runs_do_what_a_model_of_every_job_says, play_of_steps) {
  const auto seed = given_seed();
  BOOST_TEST_MESSAGE("TROUPE_SEED=" << seed);
  random.seed(seed);
  BOOST_TEST_CONTEXT("TROUPE_SEED=" << seed) {
    at.limit_keys(3, "blue");
    for (int round = 0; round < 60; ++round) {
      for (int i = 0; i < 8; ++i)
        something_else();
      operate();
      compare();
    }
    // Whatever waits is there, once.
    while (!runs.empty())
      end_some();
    at.limit_keys(std::nullopt, "blue");
    database.exec("update troupe.deferred set due_at = now() - interval '1 s'");
    at.promote();
    std::multiset<std::int64_t> wanted, given;
    for (const auto& [id, job] : jobs)
      if (waits(job.state))
        wanted.insert(id);
    for (const auto* queue : queues)
      given.merge(everything(at, queue));
    BOOST_TEST(difference(given, wanted) == "");
  }
}

namespace {

constexpr int total = 6000;

/// What the threads share.
struct play_of_threads : bulk_desk {
  std::mutex guard;
  std::vector<std::string> problems;
  std::vector<std::int64_t> done;
  std::atomic<bool> moving{true};
  /// Something was moved, or nothing more will be.
  std::atomic<bool> met{false};
  std::atomic<int> finished{0}, moved{0}, again{0};

  template<class Act>
  void on_thread(Act act) {
    try {
      desk mine(database.url());
      act(mine);
    } catch (const std::exception& problem) {
      const std::lock_guard lock(guard);
      problems.emplace_back(problem.what());
      moving = false;
    }
  }
  void meet() {
    met = true;
    met.notify_all();
  }
  /// Claims and finishes until nothing is moved any more and a whole round was empty.
  void run_jobs(desk& mine, std::mt19937 random) {
    mine.join();
    std::vector<std::int64_t> ended;
    for (bool last = false;;) {
      bool found = false;
      for (const auto* queue : queues) {
        const auto most = 1 + static_cast<int>(random() % 20);
        const auto batch = insist([&] { return mine.claim(most, queue); });
        found = found || !batch.jobs.empty() || batch.again.value_or(false);
        if (batch.jobs.empty())
          continue;
        if (!insist([&] { return mine.finish(batch); }).fenced.empty())
          throw std::runtime_error("an outcome was fenced");
        for (const auto& run : batch.jobs)
          ended.push_back(run->id.value);
        finished += static_cast<int>(batch.jobs.size());
        // Fast nodes would leave nothing to a mover that starts late.
        if (finished >= total / 2)
          met.wait(false);
      }
      if (!found && last)
        break;
      last = !found && !moving;
    }
    const std::lock_guard lock(guard);
    done.insert(done.end(), ended.begin(), ended.end());
  }
  /// Moves all that waits here and there until all has run.
  void move_jobs(desk& mine, std::mt19937 random) {
    while (moving && finished < total) {
      bulk_request what{.action = bulk_action::move, .all = true};
      what.to_queue = queues[random() % 3];
      what.to_priority = static_cast<int>(random() % 3);
      const auto id = db::decode_started_bulk(mine.ask(db::start_bulk_query({what}))).id;
      for (;;) {
        const auto made = step(mine, 50 + static_cast<int>(random() % 500));
        if (!made.error.empty()) {
          ++again;
          forget_failures();
        }
        moved += static_cast<int>(made.changed);
        if (moved > 0)
          meet();
        if (made.id == id && made.state == "done")
          break;
      }
    }
    moving = false;
  }
};

} // namespace

BOOST_FIXTURE_TEST_CASE(jobs_that_are_moved_about_while_nodes_claim_run_exactly_once,
                        play_of_threads) {
  const auto seed = given_seed();
  BOOST_TEST_MESSAGE("TROUPE_SEED=" << seed);
  std::multiset<std::int64_t> wanted;
  for (int i = 0; i < 12; ++i)
    wanted.merge(set_of(at.enqueue_many(total / 12, queues.at(static_cast<std::size_t>(i) % 3))));
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < 3; ++i)
      threads.emplace_back(
          [&, i] { on_thread([&](desk& mine) { run_jobs(mine, std::mt19937{seed + i}); }); });
    threads.emplace_back([&] {
      on_thread([&](desk& mine) { move_jobs(mine, std::mt19937{seed + 100}); });
      meet();
    });
  }
  for (const auto& problem : problems)
    BOOST_ERROR(problem);
  BOOST_TEST_MESSAGE(moved << " moved, " << again << " steps undone");
  BOOST_TEST(difference(std::multiset<std::int64_t>(done.begin(), done.end()), wanted) == "");
  BOOST_TEST(count("lease") == 0);
  BOOST_TEST(count("parked") == 0);
  BOOST_TEST(moved > 0);
  BOOST_TEST(database.value("select count(*) from troupe.jobs where state <> 'completed'") == "0");
}
