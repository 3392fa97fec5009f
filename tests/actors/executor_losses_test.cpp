// EXECUTOR and jobs whose node died before: their start is written first, and of those that were
// lost twice one runs at a time.
#include "tests/actors/executor_fixture.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

BOOST_FIXTURE_TEST_SUITE(losses, executor_system)

BOOST_AUTO_TEST_CASE(a_lost_job_starts_once_its_start_is_written) {
  take(lost_batch(lease_id{1}, 2, 1));
  BOOST_TEST(started.empty());
  BOOST_REQUIRE(in->starts.size() == 2U);
  BOOST_TEST((in->starts.front().node == node_id{1} && in->starts.front().lease == lease_id{1}));
  BOOST_TEST(in->starts.front().job == job_id{100});
  answer(in->starts, true);
  BOOST_REQUIRE(started.size() == 1U);
  BOOST_TEST(started[0].first->id == job_id{100});
  answer(in->starts, true);
  BOOST_TEST(started.size() == 2U);
  finish_all();
  answer_writes();
  BOOST_TEST(counters.attempts_completed == 2U);
  BOOST_TEST(counters.running == 0U);
}

BOOST_AUTO_TEST_CASE(others_do_not_wait_for_a_start_that_is_being_written) {
  auto mixed = lost_batch(lease_id{1}, 3, 1);
  mixed.jobs[1]->losses = 0;
  take(mixed);
  BOOST_REQUIRE(started.size() == 1U);
  BOOST_TEST(started[0].first->id == job_id{101});
}

BOOST_AUTO_TEST_CASE(of_those_lost_twice_one_runs_at_a_time_beside_others) {
  auto mixed = lost_batch(lease_id{1}, 4, 2);
  mixed.jobs[3]->losses = 0;
  take(mixed);
  BOOST_REQUIRE(in->starts.size() == 1U);
  BOOST_TEST(started.size() == 1U);
  BOOST_TEST(counters.backlog == 2U);
  answer(in->starts, true);
  BOOST_REQUIRE(started.size() == 2U);
  BOOST_TEST(in->starts.empty());
  finish(0); // the other one
  BOOST_TEST(in->starts.empty());
  finish(1);
  BOOST_REQUIRE(in->starts.size() == 1U);
  answer(in->starts, true);
  finish(2, failed("x"));
  BOOST_REQUIRE(in->starts.size() == 1U);
  BOOST_TEST(counters.backlog == 0U);
  answer(in->starts, true);
  finish(3);
  answer_writes();
  BOOST_TEST(closed_leases == std::vector{lease_id{1}}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_start_that_cannot_be_written_puts_the_job_back) {
  take(lost_batch(lease_id{1}, 2, 2));
  refuse(in->starts, errc::unavailable);
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST((in->finishes.front().runs.at(0).result.kind == job_result::verdict::snoozed));
  BOOST_TEST(in->starts.size() == 1U); // the next one's turn
  answer(in->starts, true);
  BOOST_TEST(started.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_start_whose_lease_is_gone_is_dropped) {
  take(lost_batch(lease_id{1}, 1, 1));
  answer(in->starts, false);
  BOOST_TEST(started.empty());
  BOOST_TEST(counters.attempts_fenced == 1U);
  BOOST_TEST(counters.running == 0U);
}

BOOST_AUTO_TEST_CASE(a_drain_waits_for_starts_and_puts_them_back) {
  take(lost_batch(lease_id{1}, 3, 2));
  drain();
  BOOST_TEST(!drained);
  answer(in->starts, true);
  BOOST_TEST(started.empty());
  answer_writes();
  BOOST_TEST(drained);
  BOOST_TEST(closed_leases == std::vector{lease_id{1}}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_start_of_an_earlier_life_is_forgotten) {
  take(lost_batch(lease_id{1}, 2, 2));
  join(node_id{2});
  answer(in->starts, true);
  BOOST_TEST(started.empty());
  BOOST_TEST(counters.backlog == 0U);
  wake("q");
  answer(in->claims, lost_batch(lease_id{2}, 1, 2));
  BOOST_REQUIRE(in->starts.size() == 1U); // the other life's last chance does not block
  answer(in->starts, true);
  BOOST_TEST(started.size() == 1U);
}

BOOST_AUTO_TEST_CASE(one_that_waits_for_its_turn_can_be_cancelled) {
  take(lost_batch(lease_id{1}, 2, 2));
  cancel({job_id{101}});
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().runs.at(0).id == job_id{101});
  BOOST_TEST(counters.backlog == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
