// EXECUTOR under random interleavings: a model of the database answers, refuses, loses answers and
// cancels as the seed says. Every job that was handed out is reported once, nothing is held beyond
// the capacity, each lease is closed once and after its last outcome.
#include "tests/actors/executor_fixture.hpp"

#include <array>
#include <map>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

/// The database: leases with their runs, and how each run ended.
class model {
public:
  explicit model(int jobs) : waiting_(jobs) {}

  claimed_jobs claim(int limit) {
    const int count = std::min(limit, std::min(waiting_, 1 + limit / 2));
    waiting_ -= count;
    if (count == 0)
      return {};
    const lease_id lease{++last_lease_};
    auto given = executor_system::batch(lease, count, next_job_);
    next_job_ += count;
    for (const auto& run : given.jobs) {
      run->losses = losses_of(run->id);
      leases_[lease].insert(run->id);
    }
    return given;
  }
  /// Some were lost before, some twice.
  static int losses_of(job_id id) { return id.value % 5 < 3 ? static_cast<int>(id.value % 5) : 0; }
  bool start(const start_run& ask) const { return leases_.contains(ask.lease); }
  finished_runs finish(const finish_runs& ask) {
    finished_runs answer;
    for (const auto& run : ask.runs) {
      const auto lease = leases_.find(run.lease);
      const bool first = reports_[run.id]++ == 0;
      if (cancelled_.contains(run.id)) {
        answer.fenced.push_back(run.id);
      } else if (lease == leases_.end() || !lease->second.contains(run.id)) {
        // An answer that was lost makes the executor tell it again.
        BOOST_REQUIRE_MESSAGE(!first, "an outcome of job " << run.id.value
                                                           << " came after its lease was closed");
      }
      if (lease != leases_.end())
        lease->second.erase(run.id);
      BOOST_REQUIRE_MESSAGE(first || lost_answers > 0, "job " << run.id.value << " reported twice");
    }
    for (const auto done : ask.done) {
      const auto lease = leases_.find(done);
      if (lease == leases_.end()) {
        BOOST_REQUIRE_MESSAGE(lost_answers > 0, "lease " << done.value << " closed twice");
        continue;
      }
      for (const auto id : lease->second)
        BOOST_REQUIRE_MESSAGE(cancelled_.contains(id), "lease " << done.value
                                                                << " was closed before job "
                                                                << id.value << " was reported");
      leases_.erase(lease);
    }
    return answer;
  }
  claimed_jobs adopt(lease_id lease) const {
    claimed_jobs given;
    const auto found = leases_.find(lease);
    if (found == leases_.end())
      return given;
    given.lease = lease;
    for (const auto id : found->second)
      if (!cancelled_.contains(id)) {
        given.jobs.push_back(executor_system::batch(lease, 1, id.value).jobs.front());
        given.jobs.back()->losses = losses_of(id);
      }
    return given;
  }
  /// Cancels some job that is handed out; 0 when there is none.
  job_id cancel_some(std::mt19937& random) {
    if (leases_.empty())
      return {};
    const auto& runs =
        std::next(leases_.begin(), static_cast<std::ptrdiff_t>(random() % leases_.size()))->second;
    if (runs.empty())
      return {};
    const auto id = *std::next(runs.begin(), static_cast<std::ptrdiff_t>(random() % runs.size()));
    cancelled_.insert(id);
    return id;
  }
  std::vector<lease_id> leases() const {
    std::vector<lease_id> all;
    for (const auto& [lease, runs] : leases_)
      all.push_back(lease);
    return all;
  }
  int waiting() const { return waiting_; }
  std::int64_t handed_out() const { return next_job_ - 1; }
  std::size_t reported() const { return reports_.size(); }
  bool never_reported_but_cancelled() const {
    for (std::int64_t id = 1; id < next_job_; ++id)
      if (!reports_.contains(job_id{id}) && !cancelled_.contains(job_id{id}))
        return false;
    return true;
  }

  int lost_answers = 0; ///< of finishes that were carried out

private:
  int waiting_;
  std::int64_t last_lease_ = 0;
  std::int64_t next_job_ = 1;
  std::map<lease_id, std::set<job_id>> leases_;
  std::set<job_id> cancelled_;
  std::map<job_id, int> reports_;
};

/// One seeded play of EXECUTOR against the model.
struct play : executor_system {
  explicit play(unsigned seed) : random(seed) {}

  template<class Box>
  void pick(Box& box) { // answers come in any order
    if (box.waiting.size() > 1)
      std::swap(box.waiting.front(), box.waiting[random() % box.waiting.size()]);
  }
  void answer_claim() {
    pick(in->claims);
    const auto ask = in->claims.front();
    const auto& queue = state().queues.at("q");
    BOOST_REQUIRE(ask.limit <= queue.limits.slots() + queue_slots::max_prefetch);
    if (random() % 8 == 0) {
      if (random() % 2)
        database.claim(ask.limit); // carried out, but nobody hears of it
      return give(in->claims, make_error(errc::outcome_unknown));
    }
    give(in->claims, database.claim(ask.limit));
  }
  void answer_finish() {
    const auto ask = in->finishes.front();
    if (!calm && random() % 5 == 0) {
      if (random() % 2) {
        ++database.lost_answers;
        database.finish(ask);
      }
      return give(in->finishes, make_error(errc::outcome_unknown));
    }
    for (const auto& run : ask.runs)
      if (run.result.result == "poison")
        return give(in->finishes, make_error(errc::invalid_argument, "22P02"));
    give(in->finishes, database.finish(ask));
  }
  void answer_adoption() {
    const auto ask = in->adoptions.front();
    if (!calm && random() % 4 == 0)
      return give(in->adoptions, make_error(errc::unavailable));
    give(in->adoptions, database.adopt(ask.lease));
  }
  void answer_start() {
    pick(in->starts);
    if (!calm && random() % 5 == 0)
      return give(in->starts, make_error(errc::unavailable));
    give(in->starts, database.start(in->starts.front()));
  }
  void end_a_run() {
    if (ended.size() == started.size())
      return;
    std::size_t which = random() % started.size();
    while (ended.contains(which))
      which = (which + 1) % started.size();
    ended.insert(which);
    constexpr std::array kinds{0, 0, 0, 1, 2, 3};
    switch (kinds[random() % kinds.size()]) {
    case 0:
      return started[which].second(completed());
    case 1:
      return started[which].second(failed("x"));
    case 2:
      return started[which].second(completed("poison"));
    default:
      return started[which].second(snoozed(1s));
    }
  }
  void one_step() {
    switch (random() % 10) {
    case 0:
      return wake_up();
    case 1:
      return tell(std::vector{database.cancel_some(random)});
    case 2:
      return tell(database.leases());
    case 3:
      if (!in->claims.empty())
        answer_claim();
      return;
    case 4:
      if (!in->finishes.empty())
        answer_finish();
      return;
    case 5:
      if (!in->adoptions.empty())
        answer_adoption();
      return;
    case 6:
      if (!in->starts.empty())
        answer_start();
      return;
    case 7:
      sched().advance_time(random() % 2 ? 20ms : 400ms);
      return;
    default:
      return end_a_run();
    }
  }
  void wake_up() { caf::anon_send(executor_itself, wake_atom_v, std::string{"q"}); }
  void tell(std::vector<job_id> cancelled) {
    if (cancelled.front().value != 0)
      caf::anon_send(executor_itself, cancel_atom_v, std::move(cancelled));
  }
  void tell(std::vector<lease_id> held) { caf::anon_send(executor_itself, std::move(held)); }
  executor_state& state() { return state_of<executor_state, executor_impl>(executor_itself); }
  void check() {
    const auto found = state().queues.find("q");
    if (found == state().queues.end())
      return;
    const auto& queue = found->second;
    BOOST_REQUIRE(queue.running >= 0);
    BOOST_REQUIRE(queue.unwritten >= 0);
    BOOST_REQUIRE(queue.running <= queue.limits.slots());
    BOOST_REQUIRE(started.size() - ended.size() <= 4U);
    BOOST_REQUIRE(counters.backlog == queue.backlog.size() + queue.last_chances.size());
    BOOST_REQUIRE(std::count_if(started.begin(), started.end(),
                                [this](const auto& one) {
                                  const auto which =
                                      static_cast<std::size_t>(&one - started.data());
                                  return one.first->losses == 2 && !ended.contains(which);
                                })
                  <= 1);
  }
  void go() {
    caf::anon_send(executor_itself, node_id{1});
    for (int i = 0; i < 600; ++i) {
      one_step();
      run_random(random);
      check();
    }
    // From here on the database answers, and all that is left ends.
    calm = true;
    for (int i = 0; i < 3000 && !done(); ++i) {
      wake_up();
      tell(database.leases());
      end_a_run();
      if (!in->claims.empty())
        give(in->claims, database.claim(in->claims.front().limit));
      if (!in->finishes.empty())
        answer_finish();
      if (!in->adoptions.empty())
        answer_adoption();
      if (!in->starts.empty())
        answer_start();
      sched().advance_time(100ms);
      run_random(random);
      check();
    }
  }
  bool done() {
    return database.waiting() == 0 && database.leases().empty() && ended.size() == started.size()
           && in->finishes.empty();
  }

  std::mt19937 random;
  model database{150};
  std::set<std::size_t> ended;
  bool calm = false;
};

} // namespace

BOOST_AUTO_TEST_CASE(whatever_happens_every_run_is_reported_and_every_lease_closed_once) {
  for (unsigned seed = 1; seed <= 200; ++seed)
    BOOST_TEST_CONTEXT("seed " << seed) {
      play one(seed);
      one.go();
      BOOST_REQUIRE(one.database.waiting() == 0);
      BOOST_REQUIRE(one.database.handed_out() == 150);
      BOOST_REQUIRE(one.database.leases().empty());
      BOOST_REQUIRE(one.database.never_reported_but_cancelled());
      BOOST_REQUIRE(one.counters.running == 0U);
      BOOST_REQUIRE(one.counters.backlog == 0U);
      for (bool& drained = one.drained; !drained;) {
        one.drain();
        while (!drained && !one.in->claims.empty())
          one.answer(one.in->claims, claimed_jobs{});
        BOOST_REQUIRE(drained);
      }
    }
}
