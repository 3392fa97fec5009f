// EXECUTOR in limited and paused queues: never more runs than permits, permits that go back when
// they are of no use, and answers that are lost or late. The random play has a model of the
// database beside it.
#include "tests/actors/executor_fixture.hpp"

#include <random>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct limited_queue : executor_system {
  /// A batch that comes with so many permits.
  static claimed_jobs permitted(lease_id lease, int count, run_permits permits) {
    auto given = batch(lease, count);
    given.permits = permits;
    return given;
  }
  const permits_kept& kept() const {
    BOOST_REQUIRE(!in->finishes.empty());
    BOOST_REQUIRE_EQUAL(in->finishes.front().keep.size(), 1U);
    return in->finishes.front().keep.front();
  }
  void cap(std::vector<permit_cap> caps) {
    caf::anon_send(executor_itself, std::move(caps));
    run();
  }
  void pause() {
    caf::anon_send(executor_itself, halt_atom_v, std::string{"q"});
    run();
  }
  /// Five jobs and permits for two; nothing more to claim.
  void take_five() {
    join();
    wake("q");
    answer(in->claims, permitted(lease_id{1}, 5, {2, 10}));
    while (!in->claims.empty())
      answer(in->claims, claimed_jobs{});
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(permits, limited_queue)

BOOST_AUTO_TEST_CASE(a_claim_tells_how_much_could_run_and_how_much_is_here) {
  join();
  wake("q");
  BOOST_REQUIRE(in->claims.front().slots.has_value());
  BOOST_TEST(*in->claims.front().slots == 4);
  BOOST_TEST(in->claims.front().held == 0);
}

BOOST_AUTO_TEST_CASE(only_so_many_run_at_once_and_the_next_starts_when_one_ends) {
  take_five();
  BOOST_TEST(started.size() == 2U);
  finish(0); // its outcome is not even written
  BOOST_TEST(started.size() == 3U);
  finish(1);
  BOOST_TEST(started.size() == 4U);
}

BOOST_AUTO_TEST_CASE(permits_go_back_with_the_outcomes_when_there_is_nothing_left_to_run) {
  take_five();
  finish(0);
  BOOST_TEST(in->finishes.front().keep.empty()); // three are left for two permits
  finish(1);
  finish(2);
  finish(3); // one still runs
  answer(in->finishes, finished_runs{});
  BOOST_TEST(kept().queue == "q");
  BOOST_TEST(kept().keep.count == 1);
  BOOST_TEST(kept().keep.change == 10);
  answer(in->finishes, finished_runs{{}, false, {{1, 11}}});
  finish(4);
  BOOST_TEST(kept().keep.count == 0);
  BOOST_TEST(kept().keep.change == 11);
}

BOOST_AUTO_TEST_CASE(while_there_may_be_more_work_they_are_kept) {
  take_five();
  wake("q"); // a claim is on its way
  for (std::size_t i = 0; i < 5; ++i)
    finish(i);
  BOOST_TEST(in->finishes.front().keep.empty());
  answer(in->claims, claimed_jobs{}); // there is none
  answer(in->finishes, finished_runs{});
  BOOST_TEST(kept().keep.count == 0);
}

BOOST_AUTO_TEST_CASE(no_claim_asks_for_permits_while_some_are_on_their_way_back) {
  take_five();
  finish_all();
  answer(in->finishes, finished_runs{});
  BOOST_TEST(kept().keep.count == 0);
  wake("q");
  BOOST_TEST(in->claims.empty());
  answer(in->finishes, finished_runs{{}, false, {{0, 11}}});
  BOOST_TEST(in->claims.size() == 1U);
}

BOOST_AUTO_TEST_CASE(what_was_given_back_without_an_answer_is_not_used_and_said_again) {
  take_five();
  finish_all();
  answer(in->finishes, finished_runs{});
  const auto first = kept();
  refuse(in->finishes, errc::outcome_unknown);
  advance(10s);
  BOOST_TEST(kept().keep.count == first.keep.count);
  BOOST_TEST(kept().keep.change == first.keep.change);
  answer(in->finishes, finished_runs{{}, false, {{0, 11}}});
  advance(10s);
  BOOST_TEST(in->finishes.empty());
}

BOOST_AUTO_TEST_CASE(a_share_is_kept_and_no_more_is_asked_for) {
  join();
  wake("q");
  answer(in->claims, permitted(lease_id{1}, 10, {4, 10}));
  answer(in->claims, claimed_jobs{});
  BOOST_TEST(started.size() == 4U);
  cap({{"q", 1}});
  finish(0); // three still run
  BOOST_TEST(kept().keep.count == 3);
  BOOST_TEST(started.size() == 4U);
  answer(in->finishes, finished_runs{{}, false, {{3, 11}}});
  for (std::size_t i = 1; i < 4; ++i) {
    finish(i);
    while (!in->finishes.empty()) {
      finished_runs told;
      for (const auto& one : in->finishes.front().keep)
        told.permits.push_back({one.keep.count, one.keep.change + 1});
      answer(in->finishes, told);
    }
  }
  BOOST_TEST(counters.running == 1U);
  finish_all();
  BOOST_TEST(started.size() == 10U);
  wake("q");
  BOOST_REQUIRE(!in->claims.empty());
  BOOST_TEST(*in->claims.front().slots == 1);
}

BOOST_AUTO_TEST_CASE(a_node_without_a_share_gives_all_back_that_has_not_started) {
  take_five();
  cap({{"q", 0}});
  BOOST_TEST(counters.backlog == 0U);
  BOOST_TEST(in->finishes.front().runs.size() == 3U);
  BOOST_TEST((in->finishes.front().runs[0].result.kind == job_result::verdict::snoozed));
  BOOST_TEST(in->finishes.front().keep.empty()); // both are in use
  answer(in->finishes, finished_runs{});
  finish(0);
  BOOST_TEST(kept().keep.count == 1);
}

BOOST_AUTO_TEST_CASE(
    of_an_ordered_queue_the_next_job_is_claimed_when_the_last_ones_end_is_written) {
  join();
  wake("q");
  auto first = batch(lease_id{1}, 1);
  first.again = false;
  answer(in->claims, first);
  BOOST_TEST(in->claims.empty()); // though there are slots
  BOOST_REQUIRE(started.size() == 1U);
  finish(0);
  BOOST_TEST(in->claims.empty());
  answer(in->finishes, finished_runs{});
  BOOST_REQUIRE(in->claims.size() == 1U);
  claimed_jobs nothing;
  nothing.again = false;
  answer(in->claims, nothing);
  BOOST_TEST(in->claims.empty());
  wake("q"); // somebody put something in, or what was to be tried again is due
  BOOST_TEST(in->claims.size() == 1U);
}

BOOST_AUTO_TEST_CASE(without_a_limit_all_slots_are_used_again) {
  take_five();
  wake("q");
  answer(in->claims, batch(lease_id{2}, 3));
  BOOST_TEST(started.size() == 4U);
}

BOOST_AUTO_TEST_CASE(a_new_life_has_no_permits_of_the_old_one) {
  take_five();
  join(node_id{2});
  wake("q");
  answer(in->claims, permitted(lease_id{2}, 3, {1, 3}));
  BOOST_TEST(started.size() == 2U); // those of the old life still run
  finish(0);
  BOOST_TEST(started.size() == 2U);
  finish(1);
  BOOST_TEST(started.size() == 3U);
}

BOOST_AUTO_TEST_CASE(a_pause_gives_back_what_has_not_started) {
  take(lease_id{1}, 9);
  BOOST_TEST(started.size() == 4U);
  pause();
  BOOST_TEST(in->finishes.front().runs.size() == 5U);
  BOOST_TEST(counters.backlog == 0U);
  BOOST_TEST(counters.running == 4U);
  answer_writes();
  finish_all();
  answer_writes();
  BOOST_TEST(in->claims.empty());
  BOOST_TEST(closed_leases == std::vector{lease_id{1}}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(when_a_rate_is_used_up_the_next_claim_is_made_in_time) {
  join();
  wake("q");
  auto given = batch(lease_id{1}, 2);
  given.wait = 0ms;
  answer(in->claims, given);
  claimed_jobs none;
  none.wait = 700ms;
  answer(in->claims, none);
  BOOST_TEST(in->claims.empty());
  advance(690ms);
  BOOST_TEST(in->claims.empty());
  advance(20ms);
  BOOST_TEST(in->claims.size() == 1U);
}

BOOST_AUTO_TEST_CASE(of_a_rated_queue_it_claims_what_can_start_at_once) {
  join();
  wake("q");
  auto given = batch(lease_id{1}, 1);
  given.wait = 0ms;
  answer(in->claims, given);
  BOOST_TEST(in->claims.front().limit == 3);
  given = batch(lease_id{2}, 3);
  given.wait = 0ms;
  answer(in->claims, given);
  BOOST_TEST(in->claims.empty()); // all slots are taken
  finish(0);
  answer_writes();
  BOOST_TEST(in->claims.front().limit == 1);
}

BOOST_AUTO_TEST_CASE(an_earlier_time_replaces_the_timer_of_a_later_one) {
  join();
  claimed_jobs none;
  for (const auto wait : {5000ms, 700ms, 900ms}) {
    none.wait = wait;
    wake("q");
    answer(in->claims, none);
  }
  advance(690ms);
  BOOST_TEST(in->claims.empty());
  advance(20ms);
  BOOST_REQUIRE(in->claims.size() == 1U);
  answer(in->claims, claimed_jobs{});
  advance(10s); // the other timers say nothing
  BOOST_TEST(in->claims.empty());
}

BOOST_AUTO_TEST_CASE(a_claim_that_looked_at_enough_and_found_nothing_is_asked_again_at_once) {
  join();
  wake("q");
  claimed_jobs none;
  none.again = true;
  answer(in->claims, none);
  BOOST_REQUIRE(in->claims.size() == 1U);
  none.again = false;
  answer(in->claims, none);
  BOOST_TEST(in->claims.empty());
}

BOOST_AUTO_TEST_CASE(where_keys_are_limited_each_written_end_is_followed_by_a_claim) {
  join();
  wake("q");
  auto given = batch(lease_id{1}, 1);
  given.again = true;
  answer(in->claims, given);
  claimed_jobs none;
  none.again = false;
  answer(in->claims, none);
  BOOST_TEST(in->claims.empty());
  finish(0);
  BOOST_TEST(in->claims.empty());
  answer_writes();
  BOOST_TEST(in->claims.size() == 1U);
}

BOOST_AUTO_TEST_CASE(however_often_it_is_woken_one_timer_waits_for_a_rate) {
  join();
  claimed_jobs none;
  none.wait = 700ms;
  for (int i = 0; i < 5; ++i) {
    wake("q");
    answer(in->claims, none);
  }
  advance(1s);
  BOOST_TEST(in->claims.size() == 1U);
  answer(in->claims, claimed_jobs{});
  advance(10s);
  BOOST_TEST(in->claims.empty());
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

/// The database's side of one limited queue.
struct permit_model {
  int limit = 3;
  int others = 0; ///< held by other nodes
  run_permits ours;
  std::int64_t change = 0;
  int waiting = 120;
  std::int64_t leases = 0;
  std::int64_t jobs = 0;
  std::map<lease_id, std::set<job_id>> open;

  claimed_jobs claim(const claim_jobs& ask) {
    const int most =
        std::max(ours.count, std::min({*ask.slots, ask.held + ask.limit, limit - others}));
    const int room = (ask.limit + ask.held) * most / std::max(1, *ask.slots) - ask.held;
    const int got = std::min({room, ask.limit, waiting});
    if (ours.count + others > limit || got <= 0)
      return {};
    waiting -= got;
    const lease_id lease{++leases};
    auto given = executor_system::batch(lease, got, jobs + 1);
    jobs += got;
    for (const auto& run : given.jobs)
      open[lease].insert(run->id);
    const int now = std::max(ours.count, std::min(most, ask.held + got));
    if (now != ours.count)
      ours = {now, ++change};
    given.permits = ours;
    return given;
  }
  finished_runs finish(const finish_runs& ask) {
    finished_runs answer;
    for (const auto& run : ask.runs) {
      if (const auto found = open.find(run.lease);
          found != open.end() && found->second.erase(run.id))
        waiting += run.result.kind == job_result::verdict::snoozed ? 1 : 0;
    }
    for (const auto lease : ask.done)
      open.erase(lease);
    for (const auto& one : ask.keep)
      answer.permits.push_back(keep(one.keep));
    return answer;
  }
  run_permits keep(run_permits what) {
    if (what.change == ours.change)
      ours = {std::min(ours.count, what.count), ++change};
    return ours;
  }
};

struct limited_play : limited_queue {
  explicit limited_play(unsigned seed) : random(seed) {}

  int pick(unsigned below) { return static_cast<int>(random() % below); }
  std::size_t running() const { return started.size() - ended.size(); }

  void answer_claim() {
    const auto ask = in->claims.front();
    const auto given = database.claim(ask);
    if (pick(6) == 0) // carried out, or that too is lost with the server
      return give(in->claims, make_error(errc::outcome_unknown));
    give(in->claims, given);
  }
  void answer_finish() {
    const auto ask = in->finishes.front();
    switch (calm ? 3 : pick(6)) {
    case 0: // carried out
      database.finish(ask);
      return give(in->finishes, make_error(errc::outcome_unknown));
    case 1: // carried out later, when nobody waits for it any more
      for (const auto& one : ask.keep)
        late.push_back(one.keep);
      return give(in->finishes, make_error(errc::outcome_unknown));
    default:
      return give(in->finishes, database.finish(ask));
    }
  }
  void adopt() {
    const auto lease = in->adoptions.front().lease;
    claimed_jobs given;
    for (const auto id : database.open[lease]) {
      given.lease = lease;
      given.jobs.push_back(batch(lease, 1, id.value).jobs.front());
      given.permits = database.ours;
    }
    give(in->adoptions, given);
  }
  void tell_pulse() {
    std::vector<lease_id> all;
    for (const auto& [lease, jobs] : database.open)
      all.push_back(lease);
    caf::anon_send(executor_itself, all);
    std::vector<permit_cap> caps;
    if (database.ours.count + database.others > database.limit || pick(3) == 0)
      caps.push_back({"q", pick(3)});
    caf::anon_send(executor_itself, caps);
    caf::anon_send(executor_itself, wake_atom_v, std::string{"q"});
  }
  void end_a_run() {
    if (running() == 0)
      return;
    auto which = static_cast<std::size_t>(pick(static_cast<unsigned>(started.size())));
    while (ended.contains(which))
      which = (which + 1) % started.size();
    ended.insert(which);
    started[which].second(completed());
  }
  void one_step() {
    switch (pick(9)) {
    case 0:
      return tell_pulse();
    case 1:
    case 2:
      return in->claims.empty() ? end_a_run() : answer_claim();
    case 3:
    case 4:
      return in->finishes.empty() ? end_a_run() : answer_finish();
    case 5:
      if (!in->adoptions.empty())
        adopt();
      return;
    case 6:
      if (!late.empty()) {
        database.keep(late.back());
        late.pop_back();
      }
      database.others = std::max(0, std::min(pick(4), database.limit - database.ours.count));
      return;
    case 7:
      database.limit = 1 + pick(5);
      sched().advance_time(300ms);
      return;
    default:
      return end_a_run();
    }
  }
  void check() {
    BOOST_REQUIRE_MESSAGE(static_cast<int>(running()) <= database.ours.count,
                          running() << " run with " << database.ours.count << " permits");
  }
  void go() {
    join();
    for (int i = 0; i < 500; ++i) {
      one_step();
      run_random(random);
      check();
    }
    calm = true;
    database.limit = 3;
    database.others = 0;
    for (int i = 0; i < 3000 && !done(); ++i) {
      tell_pulse();
      end_a_run();
      if (!in->claims.empty())
        give(in->claims, database.claim(in->claims.front()));
      if (!in->finishes.empty())
        answer_finish();
      if (!in->adoptions.empty())
        adopt();
      sched().advance_time(500ms);
      run_random(random);
      check();
    }
  }
  bool done() const {
    return database.waiting == 0 && running() == 0 && database.open.empty()
           && database.ours.count == 0;
  }

  std::mt19937 random;
  permit_model database;
  std::vector<run_permits> late;
  std::set<std::size_t> ended;
  bool calm = false;
};

} // namespace

BOOST_AUTO_TEST_CASE(whatever_is_lost_no_more_run_than_there_are_permits_and_all_go_back) {
  for (unsigned seed = 1; seed <= 200; ++seed)
    BOOST_TEST_CONTEXT("seed " << seed) {
      limited_play one(seed);
      one.go();
      BOOST_REQUIRE(one.done());
    }
}
