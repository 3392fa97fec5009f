// EXECUTOR over its node's lives: a new life, leases whose claim was lost, the drain at the end.
#include "tests/actors/executor_fixture.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

BOOST_FIXTURE_TEST_SUITE(living, executor_system)

BOOST_AUTO_TEST_CASE(a_new_node_id_voids_the_earlier_life) {
  take(lease_id{1}, 6);
  finish(0);
  const auto before = in->finishes.front().node;
  join(node_id{2});
  BOOST_TEST(before == node_id{1});
  for (const std::size_t i : {1U, 2U, 3U})
    BOOST_TEST(started[i].first->stop.stop_requested());
  answer(in->finishes, finished_runs{}); // the answer of the earlier life
  BOOST_TEST(counters.backlog == 0U);
  wake("q");
  answer(in->claims, batch(lease_id{9}, 1, 900));
  for (const std::size_t i : {1U, 2U, 3U, 4U})
    finish(i); // too late
  BOOST_TEST(in->finishes.empty());
  finish(static_cast<std::size_t>(started.size() - 1));
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().node == node_id{2});
  BOOST_REQUIRE(in->finishes.front().runs.size() == 1U);
  BOOST_TEST(in->finishes.front().runs[0].id == job_id{900});
  answer(in->finishes, finished_runs{});
  BOOST_TEST(counters.running == 0U);
  BOOST_TEST(counters.attempts_fenced == 4U);
}

BOOST_AUTO_TEST_CASE(a_life_that_is_over_starts_nothing_more_though_the_next_has_not_begun) {
  take(lease_id{1}, 6);
  const auto begun = started.size();
  join(node_id{});
  BOOST_TEST(started[0].first->stop.stop_requested());
  finish(0);
  wake("q");
  BOOST_TEST(started.size() == begun);
  BOOST_TEST(in->claims.empty());
  BOOST_TEST(in->finishes.empty());
  BOOST_TEST(counters.backlog == 0U);
  join(node_id{2});
  answer(in->claims, batch(lease_id{9}, 1, 900));
  BOOST_TEST(started.size() == begun + 1);
}

BOOST_AUTO_TEST_CASE(a_claim_of_the_earlier_life_is_left_to_its_rescuer) {
  join();
  wake("q");
  join(node_id{2});
  answer(in->claims, batch(lease_id{1}, 2));
  BOOST_TEST(started.empty());
  wake("q");
  BOOST_REQUIRE(in->claims.size() == 1U);
  BOOST_TEST(in->claims.front().node == node_id{2});
}

BOOST_AUTO_TEST_CASE(a_lease_whose_claim_was_lost_is_adopted_at_the_second_pulse) {
  join();
  wake("q");
  refuse(in->claims, errc::outcome_unknown);
  told_leases({lease_id{5}});
  BOOST_TEST(in->adoptions.empty());
  told_leases({lease_id{5}});
  BOOST_REQUIRE(in->adoptions.size() == 1U);
  BOOST_TEST(in->adoptions.front().lease == lease_id{5});
  told_leases({lease_id{5}});
  BOOST_TEST(in->adoptions.size() == 1U);
  answer(in->adoptions, batch(lease_id{5}, 2));
  BOOST_TEST(started.size() == 2U);
  finish_until_idle();
  answer_writes();
  BOOST_TEST(closed_leases == std::vector{lease_id{5}}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_adopted_lease_with_nothing_left_is_closed) {
  join();
  told_leases({lease_id{5}});
  told_leases({lease_id{5}});
  answer(in->adoptions, claimed_jobs{});
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().done == std::vector{lease_id{5}},
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_lost_claim_is_adopted_though_other_claims_are_always_on_their_way) {
  join();
  wake("a");
  refuse(in->claims, errc::outcome_unknown);
  wake("b");
  told_leases({lease_id{5}}); // the claim of b may be what made it
  told_leases({lease_id{5}});
  BOOST_TEST(in->adoptions.empty());
  wake("c");
  answer(in->claims, claimed_jobs{});
  told_leases({lease_id{5}});
  BOOST_TEST(in->claims.size() == 1U);
  BOOST_TEST(in->adoptions.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_lease_whose_claim_is_still_on_its_way_is_not_adopted) {
  join();
  wake("q");
  told_leases({lease_id{1}});
  told_leases({lease_id{1}});
  BOOST_TEST(in->adoptions.empty());
  answer(in->claims, batch(lease_id{1}, 1));
  told_leases({lease_id{1}});
  told_leases({lease_id{1}});
  BOOST_TEST(in->adoptions.empty());
  BOOST_TEST(started.size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(draining, executor_system)

BOOST_AUTO_TEST_CASE(nothing_to_do_is_drained_at_once) {
  drain();
  BOOST_TEST(drained);
}

BOOST_AUTO_TEST_CASE(the_backlog_goes_back_and_the_answer_waits_for_every_outcome) {
  take(lease_id{1}, 6);
  drain();
  BOOST_TEST(!drained);
  BOOST_REQUIRE(in->finishes.size() == 1U);
  const auto back = in->finishes.front().runs;
  BOOST_REQUIRE(back.size() == 2U);
  for (const auto& run : back) {
    BOOST_TEST((run.result.kind == job_result::verdict::snoozed));
    BOOST_TEST(run.retry_in.count() == 0);
  }
  answer(in->finishes, finished_runs{});
  BOOST_TEST(!started[0].first->stop.stop_requested());
  wake("q");
  BOOST_TEST(in->claims.empty());
  for (std::size_t i = 0; i < 4; ++i) {
    BOOST_TEST(!drained);
    finish(i);
    answer(in->finishes, finished_runs{});
  }
  BOOST_TEST(drained);
}

BOOST_AUTO_TEST_CASE(a_claim_on_its_way_is_waited_for_and_given_back) {
  join();
  wake("q");
  drain();
  BOOST_TEST(!drained);
  answer(in->claims, batch(lease_id{1}, 3));
  BOOST_TEST(started.empty());
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().runs.size() == 3U);
  BOOST_TEST(in->finishes.front().done.size() == 1U);
  answer(in->finishes, finished_runs{});
  BOOST_TEST(drained);
}

BOOST_AUTO_TEST_CASE(a_claim_on_its_way_that_finds_nothing_or_fails_ends_the_drain) {
  join();
  wake("q");
  wake("p");
  drain();
  answer(in->claims, claimed_jobs{});
  BOOST_TEST(!drained);
  refuse(in->claims, errc::unavailable);
  BOOST_TEST(drained);
}

BOOST_AUTO_TEST_CASE(a_life_that_ends_during_the_drain_does_not_hang_it) {
  take(lease_id{1}, 1);
  finish(0);
  drain();
  BOOST_TEST(!drained);
  join(node_id{2});
  answer(in->finishes, finished_runs{});
  BOOST_TEST(drained);
}

BOOST_AUTO_TEST_CASE(halt_stops_what_runs) {
  take(lease_id{1}, 2);
  drain();
  caf::anon_send(executor_itself, halt_atom_v);
  run();
  BOOST_TEST(started[0].first->stop.stop_requested());
  BOOST_TEST(started[1].first->stop.stop_requested());
  BOOST_TEST(!drained);
  finish(0, failed("stopped"));
  finish(1, discarded("it is of no use"));
  const auto& told = in->finishes.front().runs;
  BOOST_REQUIRE(!told.empty());
  BOOST_TEST((told[0].result.kind == job_result::verdict::snoozed)); // it costs no attempt
  BOOST_TEST(told[0].retry_in.count() == 0);
  answer_writes();
  BOOST_TEST(drained);
}

BOOST_AUTO_TEST_CASE(what_failed_of_itself_or_was_cancelled_is_a_failure_at_the_end_too) {
  take(lease_id{1}, 2);
  drain();
  finish(0, failed("of itself"));
  BOOST_TEST((in->finishes.front().runs.at(0).result.kind == job_result::verdict::failed));
  answer(in->finishes, finished_runs{});
  cancel({started[1].first->id});
  caf::anon_send(executor_itself, halt_atom_v);
  run();
  finish(1, failed("cancelled"));
  BOOST_TEST((in->finishes.front().runs.at(0).result.kind == job_result::verdict::failed));
}

BOOST_AUTO_TEST_CASE(
    drained_by_an_operator_it_gives_back_what_waits_and_starts_nothing_until_resumed) {
  take(lease_id{1}, 6);
  be_quiet();
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().runs.size() == 2U);
  answer(in->finishes, finished_runs{});
  BOOST_TEST(!started[0].first->stop.stop_requested());
  wake("q");
  finish(0);
  answer(in->finishes, finished_runs{});
  BOOST_TEST(in->claims.empty());
  BOOST_TEST(started.size() == 4U);
  be_quiet(false);
  answer(in->claims, batch(lease_id{2}, 1));
  BOOST_TEST(started.size() == 5U);
}

BOOST_AUTO_TEST_CASE(what_a_claim_or_an_announced_start_brings_to_a_drained_node_goes_back) {
  join();
  wake("q");
  be_quiet();
  answer(in->claims, batch(lease_id{1}, 3));
  BOOST_TEST(started.empty());
  BOOST_TEST(in->finishes.front().runs.size() == 3U);
  answer(in->finishes, finished_runs{});
  be_quiet(false);
  answer(in->claims, lost_batch(lease_id{2}, 1, 1));
  BOOST_REQUIRE(in->starts.size() == 1U);
  be_quiet();
  answer(in->starts, true);
  BOOST_TEST(started.empty());
  BOOST_TEST(in->finishes.front().runs.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_drained_node_keeps_no_permit_though_there_is_work) {
  auto given = batch(lease_id{1}, 2);
  given.permits = {2, 10};
  take(given);
  be_quiet();
  wake("q");
  finish(0);
  BOOST_REQUIRE(in->finishes.front().keep.size() == 1U);
  BOOST_TEST(in->finishes.front().keep[0].keep.count == 1);
}

BOOST_AUTO_TEST_CASE(a_drained_node_ends_as_any_other) {
  take(lease_id{1}, 1);
  be_quiet();
  drain();
  finish(0);
  BOOST_TEST(!drained);
  answer_writes();
  BOOST_TEST(drained);
}

BOOST_AUTO_TEST_CASE(a_run_past_its_deadline_is_written_at_once_and_keeps_its_slot) {
  join();
  wake("q");
  auto given = batch(lease_id{1}, 1);
  given.jobs[0]->timeout = 100ms;
  answer(in->claims, given);
  advance(150ms);
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().runs.at(0).result.error == "timed out after 100 ms");
  answer(in->finishes, finished_runs{});
  BOOST_TEST(counters.running == 1U);
  drain();
  answer(in->claims, claimed_jobs{});
  BOOST_TEST(!drained);
  finish(0);
  BOOST_TEST(in->finishes.empty());
  BOOST_TEST(counters.running == 0U);
  BOOST_TEST(drained);
}

BOOST_AUTO_TEST_SUITE_END()
