// Jobs that are handed out by the transaction that stores them: they are in a lease as if they had
// been claimed, and where anything speaks against it they are available as ever.
#include "tests/db/two_nodes.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

const job_spec noop{.kind = "noop"};

struct here_database : two_nodes {
  here_database() { finish_all(); } // a queue is known from its first job on

  void finish_all() {
    at.enqueue();
    for (const auto& batch : at.drain())
      BOOST_REQUIRE(at.finish(batch).fenced.empty());
  }
  /// Not handed out, but stored, and a claim gives it.
  void check_available(desk& by, const std::vector<job_spec>& jobs) {
    const auto done = by.enqueue_here(jobs);
    BOOST_TEST(done.claimed.lease == lease_id{});
    BOOST_TEST(done.claimed.jobs.empty());
    BOOST_TEST(done.stored.ready_queues == std::vector<std::string>{"default"},
               boost::test_tools::per_element());
    BOOST_REQUIRE(done.stored.ids.size() == jobs.size());
    for (const auto id : done.stored.ids)
      BOOST_TEST(other.state(id) == "available");
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(handed_out_at_once, here_database)

BOOST_AUTO_TEST_CASE(a_job_runs_when_it_is_stored_and_no_claim_gives_it_again) {
  auto spec = noop;
  spec.args = R"({"b":1,"a":[2],"b":3})";
  spec.max_attempts = 7;
  spec.timeout = 5s;
  const auto done = at.enqueue_here({spec, noop});
  BOOST_REQUIRE(done.claimed.jobs.size() == 2U);
  BOOST_TEST(done.stored.ready_queues.empty());
  const auto& run = *done.claimed.jobs[0];
  BOOST_TEST(run.id == done.stored.ids[0]);
  BOOST_TEST(run.args == R"({"a": [2], "b": 3})"); // as a claim would give them
  BOOST_TEST(run.attempt == 1);
  BOOST_TEST(run.max_attempts == 7);
  BOOST_TEST((run.timeout == 5s));
  BOOST_TEST(done.claimed.jobs[1]->id == done.stored.ids[1]);
  BOOST_TEST((at.get(run.id).created_at == *done.stored.created_at));
  BOOST_TEST(at.state(run.id) == "running");
  BOOST_TEST(at.claim().jobs.empty());
  BOOST_TEST(other.claim().jobs.empty());
  BOOST_TEST(at.finish(done.claimed).fenced.empty());
  BOOST_TEST(at.state(run.id) == "completed");
  BOOST_TEST(database.value("select count(*) from troupe.lease") == "0");
}

BOOST_AUTO_TEST_CASE(what_fails_goes_back_and_is_tried_again) {
  const auto done = at.enqueue_here({noop});
  BOOST_TEST(at.finish(done.claimed, failed("no"), 0ms).fenced.empty());
  at.promote();
  const auto again = other.claim();
  BOOST_REQUIRE(again.jobs.size() == 1U);
  BOOST_TEST(again.jobs[0]->id == done.stored.ids[0]);
  BOOST_TEST(again.jobs[0]->attempt == 2);
}

BOOST_AUTO_TEST_CASE(what_a_dead_node_had_is_taken_back) {
  const auto done = at.enqueue_here({noop});
  make_old(at.node);
  BOOST_TEST(other.rescue(at.node).count == 1);
  BOOST_TEST(other.claim_one().jobs[0]->id == done.stored.ids[0]);
}

BOOST_AUTO_TEST_CASE(a_lease_whose_answer_was_lost_is_adopted) {
  const auto done = at.enqueue_here({noop});
  BOOST_TEST(at.beat().leases.size() == 1U);
  const auto found = at.adopt(done.claimed.lease);
  BOOST_REQUIRE(found.jobs.size() == 1U);
  BOOST_TEST(found.jobs[0]->id == done.stored.ids[0]);
}

BOOST_AUTO_TEST_CASE(a_cancelled_one_is_fenced) {
  const auto done = at.enqueue_here({noop});
  other.cancel(done.stored.ids[0]);
  BOOST_TEST(at.finish(done.claimed).fenced.size() == 1U);
  BOOST_TEST(at.state(done.stored.ids[0]) == "cancelled");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(not_handed_out, here_database)

BOOST_AUTO_TEST_CASE(in_a_paused_queue) {
  at.pause();
  check_available(at, {noop, noop});
  at.resume();
  BOOST_TEST(everything(at).size() == 2U);
  BOOST_TEST(at.enqueue_here({noop}).claimed.jobs.size() == 1U);
}

BOOST_AUTO_TEST_CASE(in_a_limited_queue) {
  at.limit(5);
  check_available(at, {noop});
  at.limit(std::nullopt);
  at.limit_rate(job_rate{1, 1min, 1});
  check_available(at, {noop});
  at.limit_rate(std::nullopt);
  at.limit_keys(1);
  check_available(at, {noop});
  at.limit_keys(std::nullopt);
  at.limit_key_rate(job_rate{1, 1min, 1});
  check_available(at, {noop});
  at.limit_key_rate(std::nullopt);
  BOOST_TEST(everything(at).size() == 4U);
}

BOOST_AUTO_TEST_CASE(by_a_node_that_is_dead) {
  make_old(other.node);
  at.rescue(other.node);
  check_available(other, {noop});
  BOOST_TEST(everything(at).size() == 1U);
}

BOOST_AUTO_TEST_CASE(in_a_queue_or_a_priority_that_is_new) {
  auto spec = noop;
  spec.priority = 3;
  check_available(at, {noop, spec});
  spec.queue = "new";
  BOOST_TEST(at.enqueue_here({spec}).claimed.jobs.empty());
  BOOST_TEST(at.claim(10, "new").jobs.size() == 1U);
  BOOST_TEST(at.enqueue_here({spec}).claimed.jobs.size() == 1U);
}

BOOST_AUTO_TEST_CASE(where_jobs_are_of_several_queues) {
  auto spec = noop;
  spec.queue = "second";
  at.enqueue(spec);
  const auto done = at.enqueue_here({noop, spec});
  BOOST_TEST(done.claimed.jobs.empty());
  BOOST_TEST(at.claim().jobs.size() == 1U);
  BOOST_TEST(everything(at, "second").size() == 2U);
}

BOOST_AUTO_TEST_CASE(while_somebody_pauses_the_queue_and_nobody_waits_for_him) {
  other.begin();
  other.pause();
  const auto done = at.enqueue_here({noop}); // would hang if it waited for the lock
  BOOST_TEST(done.claimed.jobs.empty());
  BOOST_TEST(done.stored.ids.size() == 1U);
  other.commit();
  BOOST_TEST(at.claim().jobs.empty());
}

BOOST_AUTO_TEST_CASE(and_a_pause_waits_for_one_that_is_under_way) {
  let_wait("pause_queue(text)"); // or it goes on without it
  at.begin();
  BOOST_TEST(at.enqueue_here({noop}).claimed.jobs.size() == 1U);
  other.send(db::pause_query({"default", true}));
  BOOST_TEST(other.waits(database));
  at.commit();
  BOOST_TEST(std::holds_alternative<db::result>(other.later()));
}

BOOST_AUTO_TEST_CASE(and_bad_arguments_store_nothing) {
  auto spec = noop;
  spec.args = "{";
  BOOST_CHECK_THROW(at.enqueue_here({noop, spec}), refused);
  BOOST_TEST(at.claim().jobs.empty());
  BOOST_TEST(database.value("select count(*) from troupe.lease") == "0");
}

BOOST_AUTO_TEST_SUITE_END()
