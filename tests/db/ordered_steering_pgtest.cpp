// Queues that become ordered and cease to be, and what else is said of them meanwhile; workers of
// plain SQL, long transactions, a restore.
#include "tests/db/ordered_desk.hpp"

using namespace troupe;
using namespace troupe::tests;

BOOST_FIXTURE_TEST_SUITE(ordered_steering, in_order)

BOOST_AUTO_TEST_CASE(what_was_there_before_comes_in_order_and_what_ran_ends_first) {
  at.order(false);
  const auto ids = at.enqueue_many(600);
  const auto running = at.claim(2);
  const auto failing = other.claim(1);
  at.order(true);
  BOOST_TEST(at.queue()->ordered);
  nobody();
  BOOST_TEST(reason(ids.back()) == "order");
  BOOST_TEST((at.why(ids.back()).holder == running.jobs.at(0)->id));
  at.finish(running);
  nobody();
  other.finish(failing, failed("no"));
  std::set<std::int64_t> taken;
  for (const auto* batch : {&running, &failing})
    for (const auto& run : batch->jobs)
      taken.insert(run->id.value);
  for (const auto id : ids) // what has failed comes when it is due, and holds up nobody until then
    if (!taken.contains(id.value))
      at.finish(gives(id));
  nobody();
  due();
  complete({failing.jobs.at(0)->id});
}

BOOST_AUTO_TEST_CASE(a_queue_that_ceases_to_be_ordered_gives_every_job_once) {
  for (const std::string state : {"ready", "later", "running", "cancelled", "ended"}) {
    const auto ids = at.enqueue_many(3);
    auto batch = gives(ids[0]);
    if (state == "ended")
      at.finish(batch);
    else if (state == "cancelled")
      at.cancel(ids[0]);
    else if (state != "running")
      at.finish(batch, failed("no"));
    if (state == "ready")
      at.retry(ids[0]);
    at.order(false);
    BOOST_TEST(!at.queue()->ordered);
    auto rest = set_of({ids[1], ids[2]});
    if (state == "running")
      at.finish(batch, failed("no"));
    if (state == "later" || state == "running")
      due();
    if (state == "cancelled")
      at.finish(batch);
    if (state != "ended" && state != "cancelled")
      rest.insert(ids[0].value);
    std::multiset<std::int64_t> met;
    for (const auto& each : at.drain(1)) {
      met.insert(each.jobs.at(0)->id.value);
      at.finish(each);
    }
    BOOST_TEST(difference(met, rest) == "", state);
    at.order(true);
  }
}

BOOST_AUTO_TEST_CASE(limits_but_the_rate_and_order_exclude_each_other) {
  BOOST_CHECK_EXCEPTION(at.limit(3), refused, is_conflict);
  BOOST_CHECK_EXCEPTION(at.limit_keys(3), refused, is_conflict);
  BOOST_CHECK_EXCEPTION(at.limit_key_rate(job_rate{1, 1s, 1}), refused, is_conflict);
  at.limit({});
  at.limit_keys({});
  at.limit(3, "limited");
  BOOST_CHECK_EXCEPTION(at.order(true, "limited"), refused, is_conflict);
  BOOST_TEST(!at.queue("limited")->ordered);
  // In one request, what allows the rest goes first.
  at.ask(
      db::limit_query({.name = "limited", .concurrency = std::optional<int>{}, .ordered = true}));
  BOOST_TEST(at.queue("limited")->ordered);
  at.ask(db::limit_query({.name = "limited", .concurrency = 2, .ordered = false}));
  BOOST_TEST((at.queue("limited")->concurrency == 2));
  const auto version = at.queue()->version;
  at.order(true);
  BOOST_TEST(at.queue()->version == version);
}

BOOST_AUTO_TEST_CASE(a_rate_holds_an_ordered_queue_too) {
  const auto ids = one_by_one(2);
  at.limit_rate(job_rate{1, 1h, 1});
  const auto first = gives(ids[0]);
  at.finish(first);
  nobody();
  BOOST_TEST(reason(ids[1]) == "rate");
  BOOST_TEST(at.claim(1).wait.value_or(0ms) > 1min);
  at.limit_rate({});
  complete({ids[1]});
}

BOOST_AUTO_TEST_CASE(a_paused_ordered_queue_gives_nothing_and_goes_on_with_the_same_job) {
  const auto ids = one_by_one(2);
  const auto batch = gives(ids[0]);
  at.pause();
  at.finish(batch, snoozed(0s), 0s); // as a node puts back what it has not started
  at.promote();
  nobody();
  BOOST_TEST(!named_by_pulse());
  BOOST_TEST(reason(ids[0]) == "paused");
  at.resume();
  BOOST_TEST(named_by_pulse());
  complete(ids);
}

BOOST_AUTO_TEST_CASE(no_job_of_an_ordered_queue_is_handed_out_as_it_is_stored) {
  at.enqueue();
  const auto first = at.claim_one();
  const auto here = at.enqueue_here({job_spec{.kind = "noop"}});
  BOOST_TEST(here.claimed.jobs.empty());
  nobody();
  at.finish(first);
  complete(here.stored.ids);
}

BOOST_AUTO_TEST_CASE(claims_of_an_ordered_queue_take_turns) {
  const auto ids = one_by_one(2);
  at.begin();
  const auto batch = gives(ids[0]);
  other.send(db::claim_query({other.node, "default", 10}));
  BOOST_TEST(other.waits(database));
  at.finish(batch);
  at.commit();
  const auto answer = other.later();
  const auto next = db::decode_claimed(std::get<db::result>(answer), "default");
  BOOST_REQUIRE_EQUAL(next.jobs.size(), 1U);
  BOOST_TEST(next.jobs.at(0)->id == ids[1]);
}

BOOST_AUTO_TEST_CASE(
    who_deletes_another_job_in_a_long_transaction_holds_up_the_queue_and_no_connection) {
  const auto ids = one_by_one(3);
  desk caller{database.url()};
  caller.begin();
  caller.remove(ids[2]); // it holds the lanes
  nobody();
  caller.rollback();
  complete(ids);
}

BOOST_AUTO_TEST_CASE(a_retry_that_falls_due_waits_for_no_claim_in_a_long_transaction) {
  const auto ids = one_by_one(1);
  at.finish(gives(ids[0]), failed("no"));
  let_time_pass();
  other.begin();
  BOOST_TEST(other.claim(1).jobs.empty()); // it holds the queue's row
  BOOST_TEST(at.promote().count == 1);
  other.commit();
  complete(ids);
}

BOOST_AUTO_TEST_CASE(an_order_is_not_set_while_a_long_transaction_claims) {
  at.order(false);
  at.enqueue();
  other.begin();
  other.claim(1);
  BOOST_CHECK_EXCEPTION(at.order(true), refused, is_conflict);
  other.commit();
  at.order(true);
  nobody();
}

BOOST_AUTO_TEST_CASE(workers_of_plain_sql_get_one_job_and_go_on_after_a_cancelled_one) {
  const auto ids = one_by_one(3);
  const auto claim = [&](desk& worker) {
    return worker.ask(db::make_query("select job_id, lease from troupe.claim("
                                     + std::to_string(worker.node.value) + ", 'default', 10)"));
  };
  auto rows = claim(at);
  BOOST_REQUIRE(rows.rows() == 1);
  BOOST_TEST(rows[0].get<std::int64_t>(0) == ids[0].value);
  const auto lease = std::to_string(rows[0].get<std::int64_t>(1));
  BOOST_TEST(claim(other).rows() == 0);
  BOOST_TEST(claim(at).rows() == 0);
  other.cancel(ids[0]);
  at.begin();
  const auto mine =
      at.ask(db::make_query("select troupe.finish(" + std::to_string(at.node.value) + ", " + lease
                            + ", " + std::to_string(ids[0].value) + ", 1)"));
  BOOST_TEST(!mine.one().get<bool>(0));
  at.rollback();
  BOOST_TEST(claim(other).rows() == 0); // it may be at it still
  rows = claim(at);
  BOOST_REQUIRE(rows.rows() == 1);
  BOOST_TEST(rows[0].get<std::int64_t>(0) == ids[1].value);
  BOOST_TEST(claim(other).rows() == 0);
}

BOOST_AUTO_TEST_CASE(other_queues_do_not_mind) {
  const auto ids = one_by_one(2);
  const auto first = gives(ids[0]);
  at.enqueue_many(10, "free");
  BOOST_TEST(everything(other, "free").size() == 10U);
  BOOST_TEST(at.queue()->running == 1);
}

BOOST_AUTO_TEST_CASE(after_a_restore_the_order_is_the_same) {
  at.order(false);
  const auto ids = at.enqueue_many(600);
  at.order(true);
  complete({ids[0]});
  at.finish(gives(ids[1]), failed("no"));
  database.exec("update troupe.ready set xact = (xact::text::bigint + 1000000000)::text::xid8");
  BOOST_TEST(database.value("select troupe.rebase_lanes()") == "t");
  nobody();
  due();
  complete({ids.begin() + 1, ids.end()});
  nobody();
}

BOOST_AUTO_TEST_SUITE_END()
