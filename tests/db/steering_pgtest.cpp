// Cancel, retry, delete: in every state, and two sessions at once. One session's transaction is
// held open while the other is let run into it; then both are seen to agree.
#include "tests/db/desk.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct two_sessions : jobs_database {
  desk other{database.url()};

  job_id scheduled() { return at.enqueue(job_spec{.kind = "noop", .delay = 1h}); }
  job_id running() {
    const auto id = at.enqueue();
    lease = at.claim_one();
    return id;
  }
  job_id ended_as(const job_result& result) {
    const auto id = running();
    at.finish(lease, result);
    return id;
  }
  job_id cancelled() {
    const auto id = at.enqueue();
    at.cancel(id);
    return id;
  }
  /// Whatever the queue gives out now.
  std::vector<std::int64_t> handed_out() {
    std::vector<std::int64_t> ids;
    for (const auto& batch : at.drain())
      for (const auto& run : batch.jobs)
        ids.push_back(run->id.value);
    return ids;
  }
  bool never_handed_out(job_id id) {
    let_time_pass();
    at.promote();
    const auto ids = handed_out();
    return std::find(ids.begin(), ids.end(), id.value) == ids.end();
  }

  /// What the other session's question comes to that waits for what this one does in a transaction.
  template<class First>
  errc meets(const db::query& q, First first) {
    at.begin();
    first();
    other.send(q);
    BOOST_REQUIRE(other.waits(database));
    at.commit();
    return other.later_code();
  }

  claimed_jobs lease;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(cancelling, two_sessions)

BOOST_AUTO_TEST_CASE(a_waiting_job_is_skipped_and_its_revocation_goes_with_the_claim) {
  const auto ids = at.enqueue_many(3);
  at.cancel(ids[1]);
  BOOST_TEST(at.state(ids[1]) == "cancelled");
  BOOST_TEST(at.get(ids[1]).attempts.at(0).node == "");
  BOOST_TEST(count("revoked") == 1);
  const auto given = handed_out();
  BOOST_TEST(given == (std::vector{ids[0].value, ids[2].value}), boost::test_tools::per_element());
  BOOST_TEST(count("revoked") == 0);
}

BOOST_AUTO_TEST_CASE(a_lane_full_of_cancelled_jobs_does_not_hide_the_next_one) {
  for (const auto id : at.enqueue_many(30))
    at.cancel(id);
  const auto live = at.enqueue(job_spec{.kind = "noop", .priority = 5});
  const auto batch = at.claim(4);
  BOOST_REQUIRE(batch.jobs.size() == 1U);
  BOOST_TEST((batch.jobs[0]->id == live));
  BOOST_TEST(count("revoked") == 0);
}

BOOST_AUTO_TEST_CASE(a_scheduled_and_a_retryable_job_are_cancelled_for_good) {
  const auto one = scheduled();
  const auto two = ended_as(failed("x"));
  at.cancel(one);
  at.cancel(two);
  BOOST_TEST(count("deferred") == 0);
  BOOST_TEST(count("revoked") == 0);
  BOOST_TEST(at.state(one) == "cancelled");
  BOOST_TEST(at.state(two) == "cancelled");
  BOOST_TEST(at.get(two).attempts.size() == 2U);
}

BOOST_AUTO_TEST_CASE(a_running_job_is_cancelled_its_outcome_fenced_and_its_node_told) {
  const auto id = running();
  at.cancel(id);
  BOOST_TEST(at.state(id) == "cancelled");
  BOOST_TEST(!at.get(id).attempts.at(0).node.empty());
  BOOST_TEST(at.get(id).attempts.at(0).started_at.has_value());
  const auto told = at.beat();
  BOOST_REQUIRE(told.cancelled.size() == 1U);
  BOOST_TEST((told.cancelled[0] == id));
  at.keep_up(); // keeps the revocation while the lease is there
  BOOST_TEST(at.beat().cancelled.size() == 1U);
  BOOST_TEST(at.finish(lease).fenced.size() == 1U);
  BOOST_TEST(at.beat().cancelled.empty());
  at.keep_up();
  BOOST_TEST(count("revoked") == 0);
}

BOOST_AUTO_TEST_CASE(a_job_that_was_cancelled_retried_and_runs_again_is_not_told_as_cancelled) {
  const auto id = running();
  at.cancel(id);
  BOOST_TEST(at.finish(lease).fenced.size() == 1U);
  at.retry(id);
  lease = at.claim_one();
  BOOST_TEST(lease.jobs[0]->attempt == 2);
  BOOST_TEST(at.beat().cancelled.empty());
}

BOOST_AUTO_TEST_CASE(a_job_whose_lease_outlives_it_can_be_cancelled_retried_and_run) {
  const auto ids = at.enqueue_many(2);
  const auto first = at.claim();
  at.finish({at.node, {ended(first, *first.jobs[0], completed())}, {}});
  at.retry(ids[0]);
  BOOST_TEST(at.state(ids[0]) == "available");
  at.cancel(ids[0]);
  BOOST_TEST(at.state(ids[0]) == "cancelled");
  BOOST_TEST(handed_out().empty());
}

BOOST_AUTO_TEST_CASE(a_final_job_is_a_conflict_and_an_unknown_one_not_found) {
  BOOST_CHECK_EXCEPTION(at.cancel(ended_as(completed())), refused, is_conflict);
  BOOST_CHECK_EXCEPTION(at.cancel(ended_as(discarded("x"))), refused, is_conflict);
  BOOST_CHECK_EXCEPTION(at.cancel(cancelled()), refused, is_conflict);
  BOOST_CHECK_EXCEPTION(at.cancel(job_id{999}), refused, is_not_found);
}

BOOST_AUTO_TEST_CASE(two_cancels_at_once_and_one_wins) {
  const auto id = at.enqueue();
  BOOST_TEST((meets(db::cancel_query(id), [&] { at.cancel(id); }) == errc::conflict));
}

BOOST_AUTO_TEST_CASE(a_cancel_that_meets_a_completing_run_is_a_conflict) {
  const auto id = running();
  BOOST_TEST((meets(db::cancel_query(id), [&] { at.finish(lease); }) == errc::conflict));
  BOOST_TEST(at.state(id) == "completed");
}

BOOST_AUTO_TEST_CASE(a_cancel_that_meets_a_failing_or_snoozing_run_cancels_what_was_put_off) {
  for (const auto& said : {failed("x"), snoozed(1h)}) {
    const auto id = running();
    BOOST_TEST((meets(db::cancel_query(id), [&] { at.finish(lease, said); }) == errc::none));
    BOOST_TEST(at.state(id) == "cancelled");
    BOOST_TEST(count("deferred") == 0);
    BOOST_TEST(never_handed_out(id));
  }
}

BOOST_AUTO_TEST_CASE(a_run_that_ends_during_its_cancel_is_fenced_whatever_it_says) {
  for (const auto& said : {completed(), failed("x"), snoozed(1s)}) {
    const auto id = running();
    other.begin();
    other.cancel(id);
    at.send(db::finish_query(at.finishing(lease, said)));
    BOOST_REQUIRE(at.waits(database));
    other.commit();
    BOOST_TEST(db::decode_finished(std::get<db::result>(at.later())).fenced.size() == 1U);
    BOOST_TEST(at.state(id) == "cancelled");
    BOOST_TEST(count("deferred") == 0);
  }
}

BOOST_AUTO_TEST_CASE(a_cancel_that_meets_a_promotion_is_not_lost) {
  const auto id = scheduled();
  let_time_pass();
  BOOST_TEST(
      (meets(db::cancel_query(id), [&] { BOOST_TEST(at.promote().count == 1); }) == errc::none));
  BOOST_TEST(at.state(id) == "cancelled");
  BOOST_TEST(never_handed_out(id));
}

BOOST_AUTO_TEST_CASE(a_promotion_passes_over_a_job_that_is_being_cancelled) {
  const auto id = scheduled();
  let_time_pass();
  other.begin();
  other.cancel(id);
  BOOST_TEST(at.promote().count == 0);
  other.commit();
  BOOST_TEST(at.promote().count == 0);
  BOOST_TEST(at.state(id) == "cancelled");
  BOOST_TEST(never_handed_out(id));
}

BOOST_AUTO_TEST_CASE(a_cancel_that_meets_a_claim_fences_the_run) {
  const auto id = at.enqueue();
  at.join();
  at.begin();
  lease = at.claim_one();
  other.cancel(id);
  at.commit();
  BOOST_TEST(at.beat().cancelled.size() == 1U);
  BOOST_TEST(at.finish(lease).fenced.size() == 1U);
  BOOST_TEST(at.state(id) == "cancelled");
}

BOOST_AUTO_TEST_CASE(a_job_put_in_after_the_cancelling_transaction_began_is_skipped_too) {
  at.begin();
  at.enqueue_many(1, "elsewhere"); // gives the transaction its id
  const auto id = other.enqueue();
  at.cancel(id);
  at.commit();
  at.keep_up();
  BOOST_TEST(count("revoked") == 1);
  BOOST_TEST(never_handed_out(id));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(retrying, two_sessions)

BOOST_AUTO_TEST_CASE(final_and_waiting_jobs_are_available_at_once) {
  for (const auto id : {ended_as(completed()), ended_as(discarded("x")), cancelled(), scheduled(),
                        ended_as(failed("x"))}) {
    const auto before = at.get(id);
    at.retry(id);
    BOOST_TEST(at.state(id) == "available");
    const auto batch = at.claim_one();
    BOOST_TEST((batch.jobs[0]->id == id));
    BOOST_TEST(batch.jobs[0]->attempt == before.attempt + 1);
    BOOST_TEST(at.finish(batch).fenced.empty());
    BOOST_TEST(at.state(id) == "completed");
    BOOST_TEST(at.get(id).attempts.size() == before.attempts.size() + 1);
  }
  BOOST_TEST(count("deferred") == 0);
}

BOOST_AUTO_TEST_CASE(available_and_running_jobs_are_a_conflict_and_unknown_ones_not_found) {
  BOOST_CHECK_EXCEPTION(at.retry(running()), refused, is_conflict);
  BOOST_CHECK_EXCEPTION(at.retry(at.enqueue()), refused, is_conflict);
  BOOST_CHECK_EXCEPTION(at.retry(job_id{999}), refused, is_not_found);
}

BOOST_AUTO_TEST_CASE(of_two_retries_at_once_one_wins_and_the_job_runs_once) {
  for (const auto id : {ended_as(completed()), scheduled()}) {
    BOOST_TEST((meets(db::retry_query(id), [&] { at.retry(id); }) == errc::conflict));
    BOOST_TEST(handed_out() == std::vector{id.value}, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(a_retry_that_meets_a_promotion_is_a_conflict_and_the_job_runs_once) {
  const auto id = scheduled();
  let_time_pass();
  BOOST_TEST((meets(db::retry_query(id), [&] { at.promote(); }) == errc::conflict));
  BOOST_TEST(handed_out() == std::vector{id.value}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_cancelled_job_that_waits_and_is_retried_runs_once) {
  const auto id = cancelled(); // its first entry is still in the lane
  at.retry(id);
  const auto batch = at.claim();
  BOOST_REQUIRE(batch.jobs.size() == 1U);
  BOOST_TEST(batch.jobs[0]->attempt == 2);
  BOOST_TEST(handed_out().empty());
}

BOOST_AUTO_TEST_CASE(a_discarded_job_that_is_retried_has_one_more_attempt) {
  const auto id = at.enqueue(job_spec{.kind = "noop", .max_attempts = 1});
  at.finish(at.claim(), failed("x"));
  at.retry(id);
  at.finish(at.claim(), failed("y"));
  BOOST_TEST(at.state(id) == "discarded");
  BOOST_TEST(at.get(id).attempts.size() == 2U);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(deleting, two_sessions)

BOOST_AUTO_TEST_CASE(a_job_in_any_state_but_running_goes_with_all_it_had) {
  for (const auto id : {ended_as(completed()), ended_as(discarded("x")), cancelled(), scheduled(),
                        ended_as(failed("x")), at.enqueue()}) {
    at.remove(id);
    BOOST_TEST(!at.find(id).has_value());
  }
  BOOST_TEST(count("job") == 0);
  BOOST_TEST(count("attempt") == 0);
  BOOST_TEST(count("deferred") == 0);
  BOOST_TEST(at.list({}).jobs.empty());
  at.keep_up(); // what waits in the lanes is still to be skipped
  BOOST_TEST(handed_out().empty());
  BOOST_TEST(count("lease") == 0);
  BOOST_TEST(count("revoked") == 0);
}

BOOST_AUTO_TEST_CASE(a_running_job_is_a_conflict_and_an_unknown_one_not_found) {
  BOOST_CHECK_EXCEPTION(at.remove(running()), refused, is_conflict);
  BOOST_CHECK_EXCEPTION(at.remove(job_id{999}), refused, is_not_found);
  BOOST_TEST(at.finish(lease).fenced.empty());
}

BOOST_AUTO_TEST_CASE(a_delete_that_meets_a_claim_waits_and_is_a_conflict) {
  const auto id = at.enqueue();
  at.join();
  BOOST_TEST((meets(db::delete_query(id), [&] { lease = at.claim_one(); }) == errc::conflict));
  BOOST_TEST(at.finish(lease).fenced.empty());
  BOOST_TEST(at.state(id) == "completed");
}

BOOST_AUTO_TEST_CASE(a_delete_that_meets_a_retry_leaves_no_entry_behind) {
  const auto id = ended_as(completed());
  BOOST_TEST((meets(db::delete_query(id), [&] { at.retry(id); }) == errc::none));
  at.keep_up();
  BOOST_TEST(handed_out().empty());
  BOOST_TEST(count("lease") == 0);
}

BOOST_AUTO_TEST_CASE(a_delete_that_meets_a_promotion_leaves_no_entry_behind) {
  const auto id = scheduled();
  let_time_pass();
  BOOST_TEST((meets(db::delete_query(id), [&] { at.promote(); }) == errc::none));
  BOOST_TEST(handed_out().empty());
  BOOST_TEST(count("lease") == 0);
}

BOOST_AUTO_TEST_CASE(a_retry_that_meets_a_delete_finds_nothing) {
  const auto id = ended_as(completed());
  BOOST_TEST((meets(db::retry_query(id), [&] { at.remove(id); }) == errc::not_found));
  BOOST_TEST(handed_out().empty());
}

BOOST_AUTO_TEST_SUITE_END()
