// From where claims read what limited keys have: whatever lies before is used up, and nothing that
// counts lies there.
#include "tests/db/two_nodes.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct key_states : two_nodes {
  /// As if somebody held a snapshot, and enough had died.
  void move_to_next_generation() {
    database.exec("select troupe.edit_function('keeps_what_died', 'age(a.backend_xmin) > 1000"
                  " and a.pid <> pg_backend_pid()', 'true')");
    database.exec("select troupe.next_generation(troupe.key_state_of('default'))");
    BOOST_REQUIRE(database.value("select max(generation) from troupe.key_state") == "1");
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(key_states_of_queues, key_states)

BOOST_AUTO_TEST_CASE(
    a_run_that_ended_before_the_rest_of_its_lease_makes_room_however_late_somebody_asks) {
  at.limit_keys(2);
  at.enqueue_keyed(2, "a");
  at.enqueue_keyed(1, "b");
  std::vector<claimed_jobs> batches = at.drain();
  for (auto& batch : batches) {
    const bool of_a = batch.jobs.size() > 1 || batches.size() == 1;
    if (of_a)
      at.finish(finish_runs{at.node, {ended(batch, *batch.jobs.front(), completed())}, {}});
    else
      at.finish(batch);
  }
  // What is used up of it moves on, past what the first of these has left.
  at.enqueue_keyed(1, "c");
  at.finish(at.claim_one());
  at.enqueue_keyed(1, "d");
  at.claim_one();
  at.enqueue_keyed(1, "a");
  BOOST_TEST(at.claim().jobs.size() == 1U);
}

BOOST_AUTO_TEST_CASE(the_next_generation_takes_along_what_runs_waits_is_noted_and_paid) {
  at.limit_keys(1);
  at.limit_key_rate(job_rate{1, 1h, 2});
  at.enqueue_keyed(4, "a");
  const auto first = at.claim_one();
  BOOST_TEST(at.claim().jobs.empty());
  make_batches_old(at);
  at.enqueue_keyed(1, "b");
  at.claim_one(); // and what is old moves out of its batch
  BOOST_TEST(count("key_run") == 1);
  move_to_next_generation();
  BOOST_TEST(at.claim().jobs.empty());
  at.finish(first);
  at.finish(at.claim_one());
  BOOST_TEST(at.claim().jobs.empty()); // two an hour
  const auto wait = at.claim().wait;
  BOOST_REQUIRE(wait.has_value());
  BOOST_TEST(wait->count() > 3'500'000);
  BOOST_TEST(at.queue()->waiting == 2);
}

BOOST_AUTO_TEST_CASE(what_somebody_is_about_to_edit_keeps_all_where_it_is) {
  at.limit_keys(1);
  const auto jobs = at.enqueue_keyed(3, "a");
  const auto first = at.claim_one();
  BOOST_TEST(at.claim().jobs.empty());
  other.begin();
  const auto waits = first.jobs.at(0)->id == jobs[0] ? jobs[1] : jobs[0];
  other.ask(db::make_query("select troupe.edit($1, '{\"priority\": 2}')", waits.value));
  database.exec("select troupe.edit_function('keeps_what_died', 'age(a.backend_xmin) > 1000"
                " and a.pid <> pg_backend_pid()', 'true')");
  database.exec("select troupe.next_generation(troupe.key_state_of('default'))");
  BOOST_TEST(database.value("select max(generation) from troupe.key_state") == "0");
  other.rollback();
  database.exec("select troupe.next_generation(troupe.key_state_of('default'))");
  BOOST_TEST(database.value("select max(generation) from troupe.key_state") == "1");
  BOOST_TEST(at.drain().empty());
  at.finish(first);
  at.finish(at.claim_one());
  at.finish(at.claim_one());
  BOOST_TEST(at.queue()->waiting == 0);
}

// A dump of a server whose ids are ahead, of which only this shows it.
BOOST_AUTO_TEST_CASE(after_a_restore_what_ends_is_seen_though_ids_lie_behind) {
  at.limit_keys(1);
  at.enqueue_keyed(2, "a");
  const auto first = at.claim_one();
  BOOST_TEST(at.claim().jobs.empty());
  database.exec("update troupe.key_state"
                " set ends_from = (ends_from::text::bigint + 1000000000)::text::xid8");
  database.value("select troupe.rebase_lanes()");
  at.finish(first);
  BOOST_TEST(at.claim().jobs.size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
