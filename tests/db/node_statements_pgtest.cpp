// A node's life and the engine's housekeeping, through the real statements: beat, leave, rescue,
// upkeep, and the lanes' exactness with transactions held open.
#include "tests/db/desk.hpp"

#include <algorithm>
#include <iterator>
#include <set>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct two_nodes : jobs_database {
  desk other{database.url()};
  two_nodes() {
    at.join("one");
    other.join("two");
    // Whoever puts the first job into a queue makes its lanes, and others wait for that.
    at.enqueue();
    at.finish(at.claim());
  }

  /// `other` dies holding what it claims now.
  claimed_jobs lose(int limit = 100) {
    auto batch = other.claim(limit);
    make_old(other.node);
    return batch;
  }
  std::multiset<std::int64_t> everything(desk& from, const std::string& queue = "default") const {
    std::multiset<std::int64_t> ids;
    for (const auto& batch : from.drain(100, queue))
      for (const auto& run : batch.jobs)
        ids.insert(run->id.value);
    return ids;
  }
};

/// What one has and the other has not.
std::string difference(const std::multiset<std::int64_t>& given,
                       const std::multiset<std::int64_t>& wanted) {
  std::vector<std::int64_t> lost, doubled;
  std::set_difference(wanted.begin(), wanted.end(), given.begin(), given.end(),
                      std::back_inserter(lost));
  std::set_difference(given.begin(), given.end(), wanted.begin(), wanted.end(),
                      std::back_inserter(doubled));
  std::string text;
  if (!lost.empty())
    text += std::to_string(lost.size()) + " lost from " + std::to_string(lost.front()) + " ";
  if (!doubled.empty())
    text += std::to_string(doubled.size()) + " too many from " + std::to_string(doubled.front());
  return text;
}

std::multiset<std::int64_t> set_of(const std::vector<job_id>& ids) {
  std::multiset<std::int64_t> all;
  for (const auto id : ids)
    all.insert(id.value);
  return all;
}

} // namespace

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
  at.enqueue(job_spec{.kind = "noop", .delay = 90s});
  const auto batch = at.claim(10, "a");
  make_old(other.node);
  told = at.beat();
  BOOST_TEST(told.dead == std::vector{other.node}, boost::test_tools::per_element());
  BOOST_TEST(told.leases == std::vector{batch.lease}, boost::test_tools::per_element());
  BOOST_TEST(told.queues == std::vector<std::string>{"b"}, boost::test_tools::per_element());
  BOOST_REQUIRE(told.next_due.has_value());
  BOOST_TEST((*told.next_due > 80s && *told.next_due <= 90s));
  at.rescue(other.node);
  BOOST_TEST(at.beat().dead.empty());
}

BOOST_AUTO_TEST_CASE(one_that_was_silent_itself_declares_nobody_dead) {
  make_old(at.node);
  make_old(other.node);
  BOOST_TEST(at.beat().dead.empty());
  BOOST_TEST(at.beat().dead.size() == 1U);
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

BOOST_FIXTURE_TEST_SUITE(lanes, two_nodes)

BOOST_AUTO_TEST_CASE(a_long_foreign_transaction_stalls_nothing_and_loses_nothing) {
  desk foreign(database.url());
  foreign.begin();
  const db::statement note{"note_xact", "select pg_current_xact_id()::text"};
  foreign.ask(db::query{note});
  std::multiset<std::int64_t> wanted, given;
  for (int round = 0; round < 20; ++round) {
    for (const auto id : at.enqueue_many(300))
      wanted.insert(id.value);
    given.merge(everything(at));
    BOOST_TEST(difference(given, wanted) == "");
  }
  BOOST_TEST(std::stoi(database.value("select max(cardinality(open)) from troupe.lane")) == 1);
  foreign.commit();
  BOOST_TEST(at.drain().empty());
  BOOST_TEST(database.value("select max(cardinality(open)) from troupe.lane") == "0");
}

BOOST_AUTO_TEST_CASE(writers_that_commit_in_any_order_lose_and_double_nothing) {
  std::vector<std::unique_ptr<desk>> writers;
  std::multiset<std::int64_t> wanted, given;
  const auto first = database.value("select max(id) from troupe.job");
  for (int i = 0; i < 5; ++i) {
    writers.push_back(std::make_unique<desk>(database.url()));
    writers.back()->begin();
    writers.back()->enqueue_many(300);
  }
  std::vector<std::vector<job_id>> second;
  for (const int i : {3, 0, 4, 2, 1}) {
    const auto more = writers[static_cast<std::size_t>(i)]->enqueue_many(300);
    if (i == 2) {
      writers[2]->rollback();
    } else {
      writers[static_cast<std::size_t>(i)]->commit();
      for (const auto& row : database.query_text("select id from troupe.job where id > " + first))
        if (!wanted.contains(std::stoll(row[0])))
          wanted.insert(std::stoll(row[0]));
    }
    given.merge(everything(at));
    BOOST_TEST(difference(given, wanted) == "");
  }
  BOOST_TEST(given.size() == 2400U);
}

BOOST_AUTO_TEST_CASE(a_claim_in_a_transaction_that_goes_on_to_enqueue_loses_nothing) {
  for (const bool before : {false, true}) {
    at.begin();
    if (before)
      at.enqueue_many(5, "elsewhere"); // the claimer's id is older than the entries it passes
    auto wanted = set_of(other.enqueue_many(600));
    std::multiset<std::int64_t> given;
    for (int i = 0; i < 3; ++i)
      for (const auto& run : at.claim(1000).jobs)
        given.insert(run->id.value);
    wanted.merge(set_of(at.enqueue_many(600)));
    for (int i = 0; i < 2; ++i)
      for (const auto& run : at.claim(100).jobs)
        given.insert(run->id.value);
    wanted.merge(set_of(at.enqueue_many(600)));
    at.commit();
    wanted.merge(set_of(other.enqueue_many(600)));
    given.merge(everything(other));
    BOOST_TEST(difference(given, wanted) == "");
  }
}

BOOST_AUTO_TEST_CASE(a_claim_that_is_rolled_back_gives_everything_back) {
  const auto ids = at.enqueue_many(600);
  at.begin();
  BOOST_TEST(!at.claim(50).jobs.empty());
  at.rollback();
  BOOST_TEST(everything(at) == set_of(ids), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(two_claimers_work_side_by_side) {
  const auto ids = at.enqueue_many(1024);
  at.begin();
  auto given = set_of({});
  for (const auto& run : at.claim(1000).jobs)
    given.insert(run->id.value);
  const auto others = everything(other); // three lanes are left to it
  BOOST_TEST(others.size() == 768U);
  at.commit();
  given.merge(std::multiset(others));
  given.merge(everything(at));
  BOOST_TEST(difference(given, set_of(ids)) == "");
}

BOOST_AUTO_TEST_CASE(ids_of_a_restored_database_that_lie_ahead_are_rebased) {
  const auto taken = at.enqueue_many(600);
  auto given = everything(at);
  desk late(database.url());
  late.begin();
  auto wanted = set_of(late.enqueue_many(600));
  wanted.merge(set_of(at.enqueue_many(600)));
  for (const auto& run : at.claim(100).jobs)
    BOOST_TEST(wanted.erase(run->id.value) == 1U); // has passed the open writer in one lane
  late.commit();
  // As if the dump came from a server a million transactions ahead.
  const auto ahead = [](const std::string& column) {
    return column + " = (" + column + "::text::bigint + 1000000)::text::xid8";
  };
  database.exec("update troupe.ready set " + ahead("xact") + "; update troupe.lane set "
                + ahead("xact")
                + ", open = array(select (o::text::bigint + 1000000)::text::xid8"
                  " from unnest(open) o), draining = array(select"
                  " (o::text::bigint + 1000000)::text::xid8 from unnest(draining) o)");
  wanted.merge(set_of(at.enqueue_many(600))); // sorts behind every cursor now
  at.join("one");
  BOOST_TEST(difference(everything(at), wanted) == "");
  const auto more = at.enqueue_many(600);
  BOOST_TEST(everything(at) == set_of(more));
  BOOST_TEST(database.value("select troupe.rebase_lanes()") == "f");
}

BOOST_AUTO_TEST_CASE(rows_beyond_every_partition_are_kept_found_and_handed_out) {
  database.exec("select setval('troupe.job_id_seq', 900000000), "
                "setval('troupe.ready_seq_seq', 900000000)");
  const auto ids = at.enqueue_many(20);
  BOOST_TEST(count("job_rest") == 20);
  BOOST_TEST(count("ready_rest") == 20);
  BOOST_TEST(at.keep_up().partitions_made == 4);
  BOOST_TEST(at.keep_up().partitions_made == 0);
  const auto more = at.enqueue_many(20); // new partitions begin above what is stored
  BOOST_TEST(count("job_rest") == 20);
  auto wanted = set_of(ids);
  wanted.merge(set_of(more));
  std::multiset<std::int64_t> given;
  for (const auto& batch : at.drain()) {
    for (const auto& run : batch.jobs)
      given.insert(run->id.value);
    at.finish(batch);
  }
  BOOST_TEST(difference(given, wanted) == "");
  BOOST_TEST(count("attempt_rest") == 20);
  BOOST_TEST(at.state(ids[0]) == "completed");
  BOOST_TEST(
      at.list({{.state = job_state::completed, .queue = {}, .kind = {}}, {}, 100}).jobs.size()
      == 41U);
}

BOOST_AUTO_TEST_CASE(partitions_are_made_ahead_though_a_writer_keeps_its_transaction_open) {
  desk writer(database.url());
  writer.begin();
  const auto held = writer.enqueue_many(5);
  database.exec("select setval('troupe.job_id_seq', 6000000)");
  BOOST_TEST(at.keep_up().partitions_made == 1);
  const auto beyond = at.enqueue_many(5);
  BOOST_TEST(count("job_rest") == 0);
  writer.commit();
  BOOST_TEST(everything(at).size() == 10U);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(upkeeping, two_nodes)

BOOST_AUTO_TEST_CASE(revocations_go_only_when_no_cursor_can_meet_them) {
  const auto ids = at.enqueue_many(3);
  at.cancel(ids[1]);
  BOOST_TEST(at.keep_up().revocations_dropped == 0); // waits in its lane
  BOOST_TEST(everything(at).size() == 2U);
  BOOST_TEST(count("revoked") == 0);
  // Of a run: the claim has passed it, its lease keeps it.
  at.enqueue();
  const auto batch = at.claim();
  at.cancel(batch.jobs[0]->id);
  BOOST_TEST(at.keep_up().revocations_dropped == 0);
  at.finish(batch);
  BOOST_TEST(at.keep_up().revocations_dropped == 1);
}

BOOST_AUTO_TEST_CASE(a_revocation_of_a_late_writers_job_stays_until_it_is_met) {
  desk writer(database.url());
  writer.begin();
  const auto late = writer.enqueue_many(1024); // all lanes
  at.enqueue_many(1024);
  everything(at);
  writer.commit();
  for (const auto id : late)
    at.cancel(id);
  BOOST_TEST(at.keep_up().revocations_dropped == 0);
  BOOST_TEST(at.drain().empty());
  BOOST_TEST(count("revoked") == 0);
}

BOOST_AUTO_TEST_CASE(a_revocation_of_a_deleted_job_stays_until_it_is_met) {
  const auto ids = at.enqueue_many(3);
  at.remove(ids[0]);
  BOOST_TEST(at.keep_up().revocations_dropped == 0);
  BOOST_TEST(everything(at) == set_of({ids[1], ids[2]}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
