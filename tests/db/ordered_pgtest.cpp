// Ordered queues: one job after the other, in the order of their transactions, and the next one
// starts only when the one before has ended for good.
#include "tests/db/ordered_desk.hpp"

using namespace troupe;
using namespace troupe::tests;

BOOST_FIXTURE_TEST_SUITE(ordered, in_order)

BOOST_AUTO_TEST_CASE(one_job_runs_at_a_time_on_all_nodes_in_the_order_they_were_put_in) {
  const auto ids = one_by_one(20);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    auto& node = i % 3 == 0 ? other : at;
    const auto batch = gives(node, ids[i]);
    nobody();
    node.finish(batch);
  }
  nobody();
}

BOOST_AUTO_TEST_CASE(the_jobs_of_one_call_come_in_its_order_whatever_lanes_they_are_in) {
  complete(at.enqueue_many(1200));
}

BOOST_AUTO_TEST_CASE(a_failed_job_comes_again_before_those_behind_it) {
  const auto ids = one_by_one(2);
  at.finish(gives(ids[0]), failed("no"));
  nobody();
  BOOST_TEST(reason(ids[0]) == "time");
  const auto behind = at.why(ids[1]);
  BOOST_TEST((behind.reason == hold_reason::order));
  BOOST_TEST((behind.holder == ids[0]));
  BOOST_TEST(behind.due_at.has_value());
  BOOST_TEST(!named_by_pulse());
  let_time_pass();
  nobody(); // nobody has noticed yet
  BOOST_TEST((at.promote().queues == std::vector<std::string>{"default"}));
  BOOST_TEST(named_by_pulse());
  BOOST_TEST(reason(ids[0]) == "next");
  BOOST_TEST(reason(ids[1]) == "turn");
  BOOST_TEST((at.why(ids[1]).ahead == 1));
  BOOST_TEST(at.queue()->waiting == 2);
  const auto again = gives(other, ids[0]);
  BOOST_TEST(again.jobs.at(0)->attempt == 2);
  BOOST_TEST((at.why(ids[1]).reason == hold_reason::order));
  BOOST_TEST(at.why(ids[1]).node == "two");
  nobody();
  other.finish(again);
  complete({ids[1]});
}

BOOST_AUTO_TEST_CASE(a_job_out_of_attempts_is_over_and_the_next_one_starts) {
  const auto first = at.enqueue(job_spec{.kind = "noop", .max_attempts = 2});
  const auto second = at.enqueue();
  at.finish(gives(first), failed("no"));
  due();
  at.finish(gives(first), failed("no"));
  BOOST_TEST(at.state(first) == "discarded");
  complete({second});
}

BOOST_AUTO_TEST_CASE(a_snoozed_job_and_one_that_is_put_back_hold_their_place) {
  const auto ids = one_by_one(2);
  at.finish(gives(ids[0]), snoozed(1h), 1h);
  nobody();
  due();
  at.finish(gives(ids[0]), snoozed(0s), 0s);
  at.promote();
  const auto batch = gives(other, ids[0]);
  BOOST_TEST(batch.jobs.at(0)->attempt == 1);
  other.finish(batch);
  complete({ids[1]});
  nobody();
}

BOOST_AUTO_TEST_CASE(a_job_of_a_dead_node_comes_first_and_its_third_death_is_its_end) {
  const auto ids = one_by_one(2);
  for (int death = 0; death < 3; ++death) {
    other.join("two");
    const auto batch = lose();
    BOOST_REQUIRE_EQUAL(batch.jobs.size(), 1U);
    BOOST_TEST(batch.jobs.at(0)->id == ids[0]);
    BOOST_TEST(at.claim_for(10, 16, 0).jobs.empty());
    const auto rescued = at.rescue(other.node);
    BOOST_TEST(rescued.count == 1);
    if (death < 2)
      BOOST_TEST((rescued.queues == std::vector<std::string>{"default"}));
  }
  BOOST_TEST(at.state(ids[0]) == "discarded");
  complete({ids[1]});
}

BOOST_AUTO_TEST_CASE(a_lease_that_is_adopted_goes_on) {
  const auto ids = one_by_one(2);
  const auto batch = gives(ids[0]);
  BOOST_TEST(at.adopt(batch.lease).jobs.at(0)->id == ids[0]);
  nobody();
  at.finish(batch);
  complete({ids[1]});
}

BOOST_AUTO_TEST_CASE(a_cancelled_run_counts_until_its_node_has_ended_it) {
  const auto ids = one_by_one(2);
  const auto batch = gives(ids[0]);
  at.cancel(ids[0]);
  nobody();
  BOOST_TEST((at.why(ids[1]).reason == hold_reason::order));
  BOOST_TEST(at.finish(batch).fenced.size() == 1U);
  complete({ids[1]});
}

BOOST_AUTO_TEST_CASE(who_is_cancelled_or_deleted_while_it_waits_holds_up_nobody) {
  const auto ids = one_by_one(6);
  at.cancel(ids[1]);
  at.remove(ids[2]);
  at.finish(gives(ids[0]), failed("no"));
  at.cancel(ids[0]); // retryable
  at.finish(gives(ids[3]), failed("no"));
  due();
  at.cancel(ids[3]); // ready again
  const auto next = gives(ids[4]);
  at.finish(next, failed("no"));
  at.remove(ids[4]);
  complete({ids[5]});
  at.keep_up();
  BOOST_TEST(count("revoked") == 0);
}

BOOST_AUTO_TEST_CASE(more_cancelled_jobs_than_one_claim_passes_are_passed_by_the_next) {
  at.enqueue_many(2500);
  const auto last = at.enqueue();
  database.exec("select troupe.cancel(j.id) from troupe.job j where j.id <> "
                + std::to_string(last.value));
  int empty = 0;
  for (;; ++empty) {
    auto batch = at.claim(10);
    if (!batch.jobs.empty()) {
      BOOST_TEST(batch.jobs.at(0)->id == last);
      break;
    }
    BOOST_REQUIRE((batch.again == true));
    BOOST_REQUIRE(empty < 5);
  }
  BOOST_TEST(empty == 2);
}

BOOST_AUTO_TEST_CASE(a_retry_by_hand_lets_a_waiting_job_go_on_and_puts_an_ended_one_at_the_end) {
  const auto ids = one_by_one(3);
  at.finish(gives(ids[0]), failed("no"));
  at.retry(ids[0]);
  BOOST_TEST(named_by_pulse());
  BOOST_CHECK_EXCEPTION(at.retry(ids[0]), refused, is_conflict);
  complete({ids[0]});
  at.retry(ids[0]);
  complete({ids[1], ids[2], ids[0]});
  nobody();
}

BOOST_AUTO_TEST_CASE(a_cancelled_run_that_is_retried_waits_for_what_is_left_of_it) {
  const auto ids = one_by_one(2);
  const auto batch = gives(ids[0]);
  at.cancel(ids[0]);
  at.retry(ids[0]);
  nobody();
  at.finish(batch);
  complete({ids[1]});
  const auto again = gives(ids[0]);
  BOOST_TEST(again.jobs.at(0)->attempt == 2);
}

BOOST_AUTO_TEST_CASE(a_better_priority_goes_first_but_not_before_what_has_begun) {
  const auto slow = one_by_one(2, 5);
  at.finish(gives(slow[0]), failed("no"));
  const auto urgent = one_by_one(2, 0);
  nobody();
  due();
  complete({slow[0], urgent[0], urgent[1], slow[1]});
}

BOOST_AUTO_TEST_CASE(scheduled_jobs_come_in_the_order_in_which_they_fall_due) {
  const auto in = [&](std::chrono::milliseconds delay) {
    return at.enqueue(job_spec{.kind = "noop", .delay = delay});
  };
  const auto third = in(3h), first = in(1h), second = in(2h);
  const auto now = at.enqueue();
  complete({now});
  nobody();
  database.exec("update troupe.deferred set due_at = due_at - interval '4 hours'");
  at.promote();
  complete({first, second, third});
}

BOOST_AUTO_TEST_CASE(a_transaction_that_commits_late_is_next_however_many_have_passed_it) {
  desk late{database.url()};
  late.begin();
  const auto a = late.enqueue();
  const auto ids = one_by_one(3);
  complete({ids[0]});
  late.commit();
  complete({a, ids[1], ids[2]});
}

BOOST_AUTO_TEST_CASE(
    of_two_late_transactions_the_one_that_began_first_goes_first_when_both_are_there) {
  desk first{database.url()}, second{database.url()}, third{database.url()};
  first.begin();
  const auto a = first.enqueue_many(600);
  second.begin();
  const auto b = second.enqueue_many(600);
  third.begin();
  const auto c = third.enqueue_many(3);
  const auto before = one_by_one(2);
  complete({before[0]});
  second.commit();
  complete({b.begin(), b.begin() + 300}); // in the middle of it a lower number commits
  first.commit();
  complete(a);
  complete({b.begin() + 300, b.end()});
  third.rollback();
  complete({before[1]});
  nobody();
  at.beat();
  BOOST_TEST(!named_by_pulse()); // the lanes have forgotten the writer that left nothing
  BOOST_TEST(at.queue()->waiting == 0);
}

BOOST_AUTO_TEST_CASE(a_claim_in_a_transaction_that_goes_on_to_enqueue_loses_nothing) {
  const auto ids = one_by_one(2);
  at.begin();
  const auto own = at.enqueue();
  at.finish(gives(ids[0]));
  at.finish(gives(ids[1]));
  at.finish(gives(own));
  const auto more = at.enqueue();
  at.commit();
  complete({more});
  // Its own, then a later one's: it counts as a late writer then, and has left nothing.
  for (int i = 0; i < 8; ++i) {
    at.begin();
    at.finish(gives(at.enqueue()));
    at.finish(gives(other.enqueue()));
    at.commit();
    nobody();
  }
  at.begin();
  at.finish(gives(at.enqueue()));
  at.rollback();
  nobody();
}

BOOST_AUTO_TEST_CASE(a_replaced_job_keeps_its_place_if_it_has_begun) {
  auto spec = unique_job(on_conflict::replace);
  const auto id = put(at, spec).id;
  const auto behind = at.enqueue();
  at.finish(gives(id), failed("no"));
  spec.args = R"({"n":2})";
  spec.priority = 7;
  BOOST_TEST(put(at, spec).fate == enqueue_fate::replaced);
  spec.args = R"({"n":3})";
  BOOST_TEST(put(at, spec).fate == enqueue_fate::replaced); // it is ready now
  spec.delay = 1h;
  BOOST_TEST(put(at, spec).fate == enqueue_fate::replaced);
  nobody();
  BOOST_TEST(at.state(id) == "scheduled");
  due();
  const auto again = gives(id);
  BOOST_TEST(again.jobs.at(0)->attempt == 2);
  BOOST_TEST(again.jobs.at(0)->args == R"({"n": 3})");
  at.finish(again);
  complete({behind});
  nobody();
}

BOOST_AUTO_TEST_CASE(a_job_that_somebody_is_about_to_cancel_is_not_passed_by) {
  const auto ids = one_by_one(3);
  desk caller{database.url()};
  caller.begin();
  caller.cancel(ids[0]);
  nobody();
  caller.rollback();
  at.finish(gives(ids[0]), failed("no"));
  due();
  caller.begin();
  caller.cancel(ids[0]);
  nobody();
  caller.commit();
  caller.begin();
  caller.remove(ids[1]);
  nobody();
  caller.commit();
  complete({ids[2]});
}

BOOST_AUTO_TEST_SUITE_END()
