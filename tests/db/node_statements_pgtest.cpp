// A node's life through the real statements: beat, leave, rescue.
#include "db/migrate.hpp"
#include "tests/db/two_nodes.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

BOOST_FIXTURE_TEST_SUITE(rescuing, two_nodes)

BOOST_AUTO_TEST_CASE(a_dead_nodes_jobs_are_lost_and_ready_again) {
  const auto ids = at.enqueue_many(3);
  const auto batch = lose();
  const auto answer = at.rescue(other.node);
  BOOST_TEST(answer.count == 3);
  BOOST_TEST(answer.quarantined == 0);
  BOOST_TEST(answer.queues == std::vector<std::string>{"default"},
             boost::test_tools::per_element());
  BOOST_TEST(count("lease") == 0);
  for (const auto id : ids) {
    BOOST_TEST(at.state(id) == "available");
    BOOST_TEST((at.get(id).attempts.at(0).ended == outcome::lost));
    BOOST_TEST(at.get(id).attempts.at(0).node == "two");
  }
  for (const auto& again : at.drain())
    for (const auto& run : again.jobs)
      BOOST_TEST(run->attempt == 2);
  BOOST_TEST(at.rescue(other.node).count == 0);
}

BOOST_AUTO_TEST_CASE(a_node_with_a_fresh_heartbeat_is_not_rescued) {
  const auto id = at.enqueue();
  other.claim();
  BOOST_TEST(at.rescue(other.node).count == 0);
  BOOST_TEST(at.state(id) == "running");
  BOOST_TEST(other.beat().alive);
  BOOST_TEST(at.rescue(job_id{77}.value == 77 ? node_id{77} : node_id{}).count == 0);
}

BOOST_AUTO_TEST_CASE(the_third_loss_in_a_row_quarantines_and_a_failure_between_does_not_count) {
  const auto id = at.enqueue();
  for (int loss = 1; loss <= 3; ++loss) {
    other.join("two");
    lose();
    const auto answer = at.rescue(other.node);
    BOOST_TEST(answer.count == 1);
    BOOST_TEST(answer.quarantined == (loss == 3 ? 1 : 0));
  }
  BOOST_TEST(at.state(id) == "discarded");
  BOOST_TEST(at.get(id).attempts.at(2).error.find("quarantined") == 0U);
  BOOST_TEST(at.drain().empty());
  // Lost, lost, failed, lost, lost: never three in a row.
  const auto lucky = at.enqueue();
  for (int attempt = 1; attempt <= 5; ++attempt) {
    other.join("two");
    if (attempt == 3) {
      other.finish(other.claim(), failed("x"), 0ms);
      at.promote();
      continue;
    }
    lose();
    BOOST_TEST(at.rescue(other.node).quarantined == 0);
  }
  BOOST_TEST(at.state(lucky) == "available");
}

BOOST_AUTO_TEST_CASE(a_claim_that_waits_while_a_job_is_lost_tells_of_the_loss) {
  at.enqueue();
  lose();
  desk pauser(database.url());
  pauser.begin();
  pauser.pause();
  at.send(db::claim_query({at.node, "default", 1}));
  BOOST_REQUIRE(at.waits(database));
  desk rescuer(database.url());
  BOOST_TEST(rescuer.rescue(other.node).count == 1);
  pauser.rollback();
  const auto claimed = db::decode_claimed(std::get<db::result>(at.later()), "default");
  BOOST_REQUIRE(claimed.jobs.size() == 1U);
  BOOST_TEST(claimed.jobs.front()->attempt == 2);
  BOOST_TEST(claimed.jobs.front()->losses == 1);
}

BOOST_AUTO_TEST_CASE(who_was_lost_before_is_lost_again_only_if_he_had_started) {
  const auto ids = at.enqueue_many(3);
  lose();
  at.rescue(other.node);
  for (int death = 2; death <= 5; ++death) {
    other.join("two");
    int held = 0;
    for (const auto& batch : other.drain())
      for (const auto& run : batch.jobs) {
        ++held;
        BOOST_TEST(run->losses == (run->id == ids[1] ? death - 1 : 1));
        if (run->id == ids[1])
          BOOST_TEST(other.start(batch.lease, run->id));
      }
    BOOST_TEST(held == (death < 4 ? 3 : 2));
    make_old(other.node);
    const auto answer = at.rescue(other.node);
    BOOST_TEST(answer.count == (death < 4 ? 1 : 0));
    BOOST_TEST(answer.quarantined == (death == 3 ? 1 : 0));
    BOOST_TEST(answer.queues == std::vector<std::string>{"default"},
               boost::test_tools::per_element());
  }
  BOOST_TEST(at.state(ids[1]) == "discarded");
  int left = 0;
  for (const auto& batch : at.drain())
    for (const auto& run : batch.jobs) {
      ++left;
      BOOST_TEST(run->attempt == 2);
      BOOST_TEST(at.get(run->id).attempts.size() == 2U); // lost once, and running
    }
  BOOST_TEST(left == 2);
}

BOOST_AUTO_TEST_CASE(of_those_that_had_not_started_nobody_comes_back_who_has_an_outcome) {
  const auto ids = at.enqueue_many(4);
  lose();
  at.rescue(other.node);
  other.join("two");
  for (const auto& batch : other.drain()) {
    const auto& run = *batch.jobs.at(0);
    if (run.id == ids[0] || run.id == ids[1])
      other.finish(
          {other.node, {ended(batch, run, run.id == ids[0] ? completed() : snoozed(1h))}, {}});
  }
  at.cancel(ids[2]);
  make_old(other.node);
  BOOST_TEST(at.rescue(other.node).count == 0);
  BOOST_TEST(everything(at) == std::multiset<std::int64_t>{ids[3].value},
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_start_without_the_lease_is_refused) {
  at.enqueue();
  const auto batch = other.claim_one();
  BOOST_TEST(!at.start(batch.lease, batch.jobs[0]->id)); // another node's
  make_old(other.node);
  at.rescue(other.node);
  BOOST_TEST(!other.start(batch.lease, batch.jobs[0]->id));
}

BOOST_AUTO_TEST_CASE(every_loss_counts_for_a_node_that_does_not_tell_of_starts) {
  const auto id = at.enqueue();
  for (int loss = 1; loss <= 3; ++loss) {
    other.join("two");
    database.exec("update troupe.node set tells_starts = false where id = "
                  + std::to_string(other.node.value));
    other.claim();
    make_old(other.node);
    BOOST_TEST(at.rescue(other.node).count == 1);
  }
  BOOST_TEST(at.state(id) == "discarded");
}

BOOST_AUTO_TEST_CASE(losses_do_not_use_up_attempts) {
  const auto id = at.enqueue(job_spec{.kind = "noop", .max_attempts = 2});
  lose();
  at.rescue(other.node);
  at.finish(at.claim(), failed("x"));
  BOOST_TEST(at.state(id) == "retryable");
}

BOOST_AUTO_TEST_CASE(a_late_finish_of_the_dead_node_is_fenced_and_its_claim_refused) {
  const auto ids = at.enqueue_many(3);
  const auto batch = lose();
  at.rescue(other.node);
  auto what = other.finishing(batch, completed());
  BOOST_TEST(other.finish(what).fenced.size() == 3U);
  what.runs[1].result = failed("x");
  what.runs[2].result = snoozed(1s);
  BOOST_TEST(other.finish(what).fenced.size() == 3U);
  BOOST_TEST(count("deferred") == 0);
  for (const auto id : ids)
    BOOST_TEST(at.state(id) == "available");
  BOOST_CHECK_THROW(other.claim(), refused);
  BOOST_TEST(!other.beat().alive);
  BOOST_TEST(other.adopt(batch.lease).jobs.empty());
  BOOST_TEST(everything(at) == set_of(ids), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_late_finish_of_a_quarantined_run_is_fenced) {
  const auto id = at.enqueue();
  claimed_jobs batch;
  for (int loss = 0; loss < 3; ++loss) {
    other.join("two");
    batch = lose();
    at.rescue(other.node);
  }
  BOOST_TEST(other.finish(batch, completed()).fenced.size() == 1U);
  BOOST_TEST(other.finish(batch, discarded("by hand")).fenced.size() == 1U);
  BOOST_TEST(at.state(id) == "discarded");
}

BOOST_AUTO_TEST_CASE(outcomes_that_were_written_before_the_death_stand) {
  const auto ids = at.enqueue_many(4);
  auto batch = other.claim();
  other.finish(
      {other.node,
       {ended(batch, *batch.jobs[0], completed()), ended(batch, *batch.jobs[1], failed("x")),
        ended(batch, *batch.jobs[2], snoozed(1h))},
       {}});
  at.cancel(ids[3]);
  make_old(other.node);
  BOOST_TEST(at.rescue(other.node).count == 0);
  const std::vector<std::string> states{"completed", "retryable", "scheduled", "cancelled"};
  for (std::size_t i = 0; i < ids.size(); ++i)
    BOOST_TEST(at.state(ids[i]) == states[i]);
  BOOST_TEST(at.drain().empty());
}

BOOST_AUTO_TEST_CASE(of_two_rescuers_at_once_one_takes_the_jobs) {
  const auto ids = at.enqueue_many(3);
  lose();
  desk third(database.url());
  third.join("three");
  at.begin();
  BOOST_TEST(at.rescue(other.node).count == 3);
  BOOST_TEST(third.rescue(other.node).count == 0); // skips, does not wait
  at.commit();
  BOOST_TEST(third.rescue(other.node).count == 0);
  BOOST_TEST(everything(third) == set_of(ids), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_finish_that_meets_the_rescue_is_fenced) {
  const auto id = at.enqueue();
  const auto batch = lose();
  at.begin();
  at.rescue(other.node);
  other.send(db::finish_query(other.finishing(batch, completed())));
  BOOST_REQUIRE(other.waits(database));
  at.commit();
  BOOST_TEST(db::decode_finished(std::get<db::result>(other.later())).fenced.size() == 1U);
  BOOST_TEST(at.state(id) == "available");
}

BOOST_AUTO_TEST_CASE(a_rescue_that_meets_a_finish_takes_only_what_is_left) {
  const auto ids = at.enqueue_many(2);
  auto batch = lose();
  other.begin();
  other.finish({other.node, {ended(batch, *batch.jobs[0], completed())}, {}});
  at.send(db::rescue_query({other.node}));
  BOOST_REQUIRE(at.waits(database));
  other.commit();
  BOOST_TEST(db::decode_rescued(std::get<db::result>(at.later())).count == 1);
  BOOST_TEST(at.state(ids[0]) == "completed");
  BOOST_TEST(at.state(ids[1]) == "available");
}

BOOST_AUTO_TEST_CASE(a_rescue_that_meets_a_snooze_leaves_it_alone) {
  const auto ids = at.enqueue_many(2);
  auto batch = lose();
  other.begin();
  other.finish({other.node, {ended(batch, *batch.jobs[0], snoozed(1h))}, {}});
  at.send(db::rescue_query({other.node}));
  BOOST_REQUIRE(at.waits(database));
  other.commit();
  BOOST_TEST(db::decode_rescued(std::get<db::result>(at.later())).count == 1);
  BOOST_TEST(at.state(ids[0]) == "scheduled");
  BOOST_TEST(at.state(ids[1]) == "available");
}

BOOST_AUTO_TEST_CASE(a_claim_that_meets_the_rescue_of_its_node_is_refused) {
  at.enqueue();
  lose(1);
  at.enqueue();
  at.begin();
  at.rescue(other.node);
  other.send(db::claim_query({other.node, "default", 1}));
  BOOST_REQUIRE(other.waits(database));
  at.commit();
  BOOST_TEST((other.later_code() != errc::none));
  BOOST_TEST(count("lease") == 0);
  BOOST_TEST(everything(at).size() == 2U);
}

BOOST_AUTO_TEST_CASE(a_rescue_that_meets_a_claim_passes_by_and_the_next_one_takes_it) {
  at.enqueue();
  make_old(other.node);
  other.begin();
  other.claim();
  BOOST_TEST(at.rescue(other.node).count == 0);
  other.commit();
  BOOST_TEST(at.rescue(other.node).count == 1);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(beating, two_nodes)

BOOST_AUTO_TEST_CASE(the_answer_says_what_happened_meanwhile) {
  auto told = at.beat();
  BOOST_TEST(told.alive);
  BOOST_TEST(told.dead.empty());
  BOOST_TEST(told.leases.empty());
  BOOST_TEST(told.cancelled.empty());
  BOOST_TEST(told.queues.empty());
  BOOST_TEST(!told.next_due.has_value());
  at.enqueue_many(2, "a");
  at.enqueue_many(600, "b");
  at.enqueue(job_spec{.kind = "noop", .delay = 90min});
  const auto batch = at.claim(10, "a");
  keep_alive(at.node);
  make_old(other.node);
  told = at.beat();
  BOOST_TEST(told.dead == std::vector{other.node}, boost::test_tools::per_element());
  BOOST_TEST(told.leases == std::vector{batch.lease}, boost::test_tools::per_element());
  BOOST_TEST(told.queues == std::vector<std::string>{"b"}, boost::test_tools::per_element());
  BOOST_REQUIRE(told.next_due.has_value());
  BOOST_TEST((*told.next_due > 80min && *told.next_due <= 90min));
  at.rescue(other.node);
  BOOST_TEST(at.beat().dead.empty());
}

BOOST_AUTO_TEST_CASE(one_that_was_silent_itself_declares_nobody_dead) {
  const auto beats_in_time = [&] { // or it is silent itself once more
    make_old(at.node);
    make_old(other.node);
    const auto began = std::chrono::steady_clock::now();
    BOOST_TEST(at.beat().dead.empty());
    const auto dead = at.beat().dead;
    if (std::chrono::steady_clock::now() - began > 2s)
      return false;
    BOOST_TEST(dead == std::vector{other.node}, boost::test_tools::per_element());
    return true;
  };
  BOOST_TEST(await_until(beats_in_time));
}

BOOST_AUTO_TEST_CASE(work_of_a_writer_that_was_passed_while_open_is_named_when_it_commits) {
  desk writer(database.url());
  writer.begin();
  const auto late = writer.enqueue_many(1200); // all lanes
  const auto early = at.enqueue_many(1200);
  BOOST_TEST(everything(at) == set_of(early), boost::test_tools::per_element());
  writer.commit();
  BOOST_TEST(at.beat().queues == std::vector<std::string>{"default"},
             boost::test_tools::per_element());
  BOOST_TEST(everything(at) == set_of(late), boost::test_tools::per_element());
  at.drain();
  BOOST_TEST(at.beat().queues.empty());
}

BOOST_AUTO_TEST_CASE(one_that_leaves_with_nothing_in_hand_is_gone_at_once) {
  at.leave();
  BOOST_TEST(!at.beat().alive);
  BOOST_TEST(other.beat().dead.empty());
  BOOST_CHECK_THROW(at.claim(), refused);
}

BOOST_AUTO_TEST_CASE(one_that_leaves_with_leases_is_rescued_at_once) {
  const auto ids = at.enqueue_many(2);
  other.claim();
  other.leave();
  BOOST_TEST(at.beat().dead == std::vector{other.node}, boost::test_tools::per_element());
  BOOST_TEST(at.rescue(other.node).count == 2);
  BOOST_TEST(everything(at) == set_of(ids), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(probing, two_nodes)

BOOST_AUTO_TEST_CASE(the_probe_says_whether_the_database_is_in_order) {
  const auto probe = [&] { return db::decode_probe(at.ask(db::probe_query())); };
  const auto usual = probe();
  BOOST_TEST(!usual.in_recovery);
  BOOST_TEST(!usual.read_only);
  BOOST_TEST(usual.schema_version == db::migrations().back().number);
  BOOST_TEST((abs(std::chrono::system_clock::now() - usual.now) < 1min)); // the same machine
  at.begin();
  database.exec("alter database " + database.name() + " set default_transaction_read_only = on");
  BOOST_TEST(!probe().read_only); // for sessions to come
  at.rollback();
  desk later(database.url());
  BOOST_TEST(db::decode_probe(later.ask(db::probe_query())).read_only);
}

BOOST_AUTO_TEST_CASE(the_probe_says_how_late_the_first_deferred_job_is) {
  const auto overdue = [&] { return db::decode_probe(at.ask(db::probe_query())).overdue; };
  BOOST_TEST((overdue() == 0ms));
  job_spec spec{.kind = "noop"};
  spec.delay = 1h;
  at.enqueue(spec);
  BOOST_TEST((overdue() == 0ms));
  at.enqueue(spec);
  database.exec("update troupe.deferred set due_at = now() - interval '90 s' where job_id = 1");
  BOOST_TEST((overdue() >= 90s));
  BOOST_TEST((overdue() < 10min));
  at.promote();
  BOOST_TEST((overdue() == 0ms));
}

BOOST_AUTO_TEST_SUITE_END()
