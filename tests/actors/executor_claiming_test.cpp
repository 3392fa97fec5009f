// EXECUTOR and jobs that INTAKE brings to be started at once: when it asks for them, what it does
// with them, and what when the answer is lost or late. And claims while outcomes are not written.
#include "actors/guard.hpp"
#include "tests/actors/executor_fixture.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

intake_actor::behavior_type intake_double(intake_actor::pointer,
                                          std::shared_ptr<std::vector<std::string>> invitations) {
  return {[](const enqueue_jobs_ptr&) -> caf::result<enqueued_jobs> {
            return make_error(errc::internal);
          },
          [=](wake_atom, const std::string& queue) { invitations->push_back(queue); }};
}

struct at_once : executor_system {
  std::shared_ptr<std::vector<std::string>> invitations =
      std::make_shared<std::vector<std::string>>();
  std::shared_ptr<std::vector<std::variant<failure, enqueued_jobs>>> replies =
      std::make_shared<std::vector<std::variant<failure, enqueued_jobs>>>();

  at_once() {
    const intake_actor intake = spawn(intake_double, invitations);
    caf::anon_send(executor_itself, intake);
    run();
  }
  /// Joined, and nothing waits in q.
  void idle() {
    join();
    wake("q");
    answer(in->claims, claimed_jobs{});
    BOOST_REQUIRE(invitations->size() == 1U);
  }
  void bring(std::size_t jobs = 1, const std::string& queue = "q") {
    const auto asked = std::make_shared<enqueue_jobs>();
    asked->jobs.assign(jobs, job_spec{.kind = "hold", .queue = queue});
    spawn([to = executor_actor{executor_itself}, asked,
           told = replies](caf::event_based_actor* self) {
      self->request(to, caf::infinite, enqueue_jobs_ptr{asked})
          .then([=](enqueued_jobs& stored) { told->emplace_back(std::move(stored)); },
                [=](caf::error& why) { told->emplace_back(to_failure(why)); });
    });
    run();
  }
  static enqueued_here handed_out(lease_id lease, int count) {
    enqueued_here done;
    done.claimed = batch(lease, count);
    for (const auto& run : done.claimed.jobs)
      done.stored.ids.push_back(run->id);
    return done;
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(starting_at_once, at_once)

BOOST_AUTO_TEST_CASE(an_idle_queue_asks_for_jobs_and_starts_them_without_a_claim) {
  idle();
  BOOST_TEST(invitations->front() == "q");
  bring();
  BOOST_REQUIRE(in->here.size() == 1U);
  BOOST_TEST(in->here.front().node == node_id{1});
  answer(in->here, handed_out(lease_id{5}, 1));
  BOOST_TEST(started.size() == 1U);
  BOOST_TEST(replies->size() == 1U);
  BOOST_TEST(in->claims.empty());
  BOOST_TEST(invitations->size() == 2U); // there is room for more
  finish_all();
  answer_writes();
  BOOST_TEST(closed_leases == std::vector{lease_id{5}}, boost::test_tools::per_element());
  BOOST_TEST(invitations->size() == 2U); // one is enough
}

BOOST_AUTO_TEST_CASE(it_does_not_ask_before_it_knows_that_nothing_waits) {
  join();
  BOOST_TEST(invitations->empty());
  wake("q");
  answer(in->claims, batch(lease_id{1}, 1));
  BOOST_TEST(invitations->empty());
  answer(in->claims, claimed_jobs{});
  BOOST_TEST(invitations->size() == 1U);
}

BOOST_AUTO_TEST_CASE(nor_without_a_free_slot) {
  take(lease_id{1}, 4);
  BOOST_TEST(invitations->empty());
  finish(0);
  BOOST_TEST(invitations->empty()); // its outcome is not written
  answer_writes();
  finish(1);
  BOOST_TEST(invitations->size() == 1U);
}

BOOST_AUTO_TEST_CASE(nor_for_a_limited_queue) {
  join();
  wake("q");
  claimed_jobs nothing;
  nothing.wait = 0ms;
  answer(in->claims, nothing);
  wake("q");
  nothing = {};
  nothing.again = false;
  answer(in->claims, nothing);
  BOOST_TEST(invitations->empty());
}

BOOST_AUTO_TEST_CASE(what_finds_no_room_any_more_is_stored_as_ever) {
  idle();
  bring(5);
  BOOST_TEST(in->here.empty());
  BOOST_REQUIRE(in->enqueues.size() == 1U);
  answer(in->enqueues, enqueued_jobs{.ids = {job_id{1}}, .ready_queues = {"q"}});
  BOOST_REQUIRE(replies->size() == 1U);
  BOOST_TEST(std::get<enqueued_jobs>(replies->front()).ready_queues.size() == 1U);
  wake("q");
  answer(in->claims, claimed_jobs{});
  BOOST_TEST(invitations->size() == 2U);
}

BOOST_AUTO_TEST_CASE(and_so_is_what_comes_to_a_paused_queue_an_unknown_one_or_while_it_claims) {
  idle();
  caf::anon_send(executor_itself, halt_atom_v, std::string{"q"});
  bring();
  bring(1, "unknown");
  wake("q");
  bring();
  BOOST_TEST(in->here.empty());
  BOOST_TEST(in->enqueues.size() == 3U);
}

BOOST_AUTO_TEST_CASE(jobs_that_were_not_handed_out_are_claimed_when_they_wake_us) {
  idle();
  bring();
  enqueued_here stored;
  stored.stored.ids = {job_id{1}};
  answer(in->here, stored);
  BOOST_TEST(started.empty());
  BOOST_TEST(replies->size() == 1U);
  BOOST_TEST(invitations->size() == 1U); // something speaks against it
  wake("q");
  BOOST_TEST(in->claims.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_lease_is_not_adopted_while_its_answer_is_on_its_way_and_is_when_it_is_lost) {
  idle();
  bring();
  told_leases({lease_id{5}});
  told_leases({lease_id{5}});
  BOOST_TEST(in->adoptions.empty());
  refuse(in->here, errc::outcome_unknown);
  BOOST_REQUIRE(replies->size() == 1U);
  BOOST_TEST(std::holds_alternative<failure>(replies->front()));
  told_leases({lease_id{5}});
  BOOST_REQUIRE(in->adoptions.size() == 1U);
  answer(in->adoptions, batch(lease_id{5}, 1));
  BOOST_TEST(started.size() == 1U);
}

BOOST_AUTO_TEST_CASE(what_belongs_to_an_earlier_life_is_not_started) {
  idle();
  bring();
  join(node_id{2});
  answer(in->here, handed_out(lease_id{5}, 1));
  BOOST_TEST(started.empty());
  BOOST_TEST(replies->size() == 1U); // it is stored all the same
}

BOOST_AUTO_TEST_CASE(a_drain_waits_for_them_and_gives_them_back) {
  idle();
  bring();
  drain();
  BOOST_TEST(!drained);
  answer(in->here, handed_out(lease_id{5}, 1));
  BOOST_TEST(started.empty());
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST((in->finishes.front().runs[0].result.kind == job_result::verdict::snoozed));
  answer_writes();
  BOOST_TEST(drained);
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

using rests = std::vector<std::pair<std::string, bool>>;

notifier_actor::behavior_type notifier_double(notifier_actor::pointer,
                                              std::shared_ptr<rests> told) {
  return {[=](idle_atom, const std::string& queue, bool fruitful) {
    told->emplace_back(queue, fruitful);
  }};
}

struct resting : executor_system {
  std::shared_ptr<rests> told = std::make_shared<rests>();

  resting() {
    const notifier_actor notifier = spawn(notifier_double, told);
    caf::anon_send(executor_itself, notifier);
    join();
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(what_the_notifier_is_told, resting)

BOOST_AUTO_TEST_CASE(a_queue_in_which_a_claim_finds_nothing_and_whether_one_has_found_something) {
  wake("q");
  answer(in->claims, claimed_jobs{});
  BOOST_TEST((*told == rests{{"q", false}}));
  wake("q");
  answer(in->claims, batch(lease_id{5}, 1));
  BOOST_TEST(told->size() == 1U);
  answer(in->claims, claimed_jobs{}); // there are slots for more
  BOOST_TEST((*told == rests{{"q", false}, {"q", true}}));
  wake("q");
  answer(in->claims, claimed_jobs{});
  BOOST_TEST((told->back() == rests::value_type{"q", false}));
}

BOOST_AUTO_TEST_CASE(not_while_it_claims_again_or_knows_when_it_will) {
  wake("q");
  wake("q"); // while the claim is on its way
  answer(in->claims, claimed_jobs{});
  BOOST_TEST(told->empty());
  claimed_jobs later;
  later.wait = 3s;
  answer(in->claims, later);
  BOOST_TEST(told->empty());
  advance(3s);
  later.wait = 0ms;
  answer(in->claims, later);
  BOOST_TEST(told->size() == 1U);
}

BOOST_AUTO_TEST_CASE(not_while_there_is_no_room_or_a_claim_failed) {
  wake("q");
  answer(in->claims, batch(lease_id{5}, 100));
  BOOST_TEST(in->claims.empty());
  wake("q");
  BOOST_TEST(told->empty());
  wake("other");
  refuse(in->claims, errc::unavailable);
  BOOST_TEST(told->empty());
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

struct unwritten_outcomes : executor_system {
  /// Answers claims with so many jobs each, limited as said, which end and are not written, until
  /// none comes; how many jobs, in parts of what the first claim asked for.
  double run_all(int at_once, const std::function<void(claimed_jobs&)>& limit) {
    join();
    wake("q");
    const auto capacity = in->claims.front().limit;
    std::size_t jobs = 0;
    for (int lease = 1; !in->claims.empty(); ++lease) {
      auto given =
          batch(lease_id{lease}, std::min(at_once ? at_once : capacity, in->claims.front().limit),
                lease * 1000);
      limit(given);
      jobs += given.jobs.size();
      answer(in->claims, given);
      for (; ended_runs < started.size(); ++ended_runs) {
        advance(2500us); // four at once: each takes ten, so what is claimed ahead stays the same
        finish(ended_runs);
      }
    }
    return static_cast<double>(jobs) / capacity;
  }
  static void limit_keys(claimed_jobs& given) { given.again = true; }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(unwritten, unwritten_outcomes)

BOOST_AUTO_TEST_CASE(where_keys_are_limited_claims_wait_for_outcomes) {
  BOOST_TEST(run_all(4, limit_keys) <= 1);
}

BOOST_AUTO_TEST_CASE(but_not_while_each_claim_brings_more_than_can_run) {
  BOOST_TEST(run_all(0, limit_keys) > 1.5);
}

BOOST_AUTO_TEST_CASE(where_a_limit_leaves_fewer_runs_than_slots_claims_wait_for_outcomes) {
  BOOST_TEST(run_all(0, [](claimed_jobs& given) { given.permits = run_permits{3, 10}; }) <= 1);
}

BOOST_AUTO_TEST_CASE(but_not_where_it_leaves_all_slots) {
  BOOST_TEST(run_all(0, [](claimed_jobs& given) { given.permits = run_permits{4, 10}; }) > 1.5);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_CASE(a_wake_that_somebody_else_wants_to_hear_of_is_passed_on_once,
                        executor_system) {
  const auto heard = std::make_shared<std::vector<std::string>>();
  const woken_actor other = spawn([heard](woken_actor::pointer) {
    return woken_actor::behavior_type{
        [heard](wake_atom, const std::string& queue) { heard->push_back(queue); }};
  });
  wake("none"); // a queue of which this node runs nothing
  BOOST_TEST(heard->empty());
  caf::anon_send(executor_itself, other, std::string{"none"});
  caf::anon_send(executor_itself, other, std::string{"q"});
  for (const auto* queue : {"other", "none", "none", "q", "q"})
    wake(queue);
  BOOST_TEST(*heard == (std::vector<std::string>{"none", "q"}), boost::test_tools::per_element());
}
