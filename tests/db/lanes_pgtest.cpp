// The lanes' exactness with transactions held open, after a restore, beyond the partitions; upkeep.
#include "tests/db/two_nodes.hpp"

#include <atomic>
#include <thread>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

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

BOOST_AUTO_TEST_CASE(a_queue_that_an_open_transaction_uses_first_is_everybodys_at_once) {
  at.begin();
  auto wanted = set_of(at.enqueue_many(10, "new"));
  wanted.merge(set_of(at.enqueue_many(10, "newer")));
  desk third(database.url());
  third.begin();
  wanted.merge(set_of(third.enqueue_many(10, "newer"))); // the other way round: no deadlock
  wanted.merge(set_of(third.enqueue_many(10, "new")));
  auto others = set_of(other.enqueue_many(600, "new"));
  const auto id = *others.begin();
  wanted.merge(others);
  auto given = everything(other, "new");
  BOOST_TEST(given.size() == 600U);
  other.cancel(job_id{id == 0 ? 0 : other.enqueue_many(1, "new")[0].value});
  const auto late = other.enqueue(job_spec{.kind = "noop", .queue = "new", .delay = 1h});
  other.retry(late); // finds a lane too
  wanted.insert(late.value);
  at.commit();
  third.rollback();
  given.merge(everything(other, "new"));
  given.merge(everything(other, "newer"));
  BOOST_TEST(given.size() == 621U);
  for (const auto one : given)
    BOOST_TEST(wanted.contains(one));
  other.enqueue_many(600, "newer"); // and then there are all its lanes
  BOOST_TEST(database.value("select count(*) from troupe.lane where queue = 'newer' and shard < 4")
             == "4");
  BOOST_TEST(everything(other, "newer").size() == 600U);
}

BOOST_AUTO_TEST_CASE(writers_that_commit_in_any_order_lose_and_double_nothing) {
  std::vector<std::unique_ptr<desk>> writers;
  std::multiset<std::int64_t> wanted, given;
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
      for (const auto& row : database.query_text("select id from troupe.job"))
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

BOOST_AUTO_TEST_CASE(
    what_a_transaction_puts_in_and_claims_comes_once_though_it_claims_later_ones_too) {
  for (const bool keyed : {false, true}) {
    if (keyed)
      at.limit_keys(100);
    for (int i = 0; i < 12; ++i) { // in one lane of four by chance
      at.begin();
      const auto own = set_of({at.enqueue()});
      BOOST_TEST(difference(everything(at), own) == "");
      const auto later = set_of({other.enqueue()});
      BOOST_TEST(difference(everything(at), later) == "");
      at.commit();
      BOOST_TEST(difference(everything(other), {}) == "");
    }
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

BOOST_AUTO_TEST_CASE(joining_amid_commits_is_not_taken_for_a_restore) {
  at.enqueue();
  std::atomic<bool> stop{false};
  std::vector<std::jthread> writers;
  for (int i = 0; i < 3; ++i)
    writers.emplace_back([&] {
      desk mine(database.url());
      mine.join();
      while (!stop) {
        mine.enqueue_many(3);
        mine.claim(3);
      }
    });
  const db::statement rebase{"rebase", "select troupe.rebase_lanes()"};
  int rebased = 0;
  for (int i = 0; i < 1000; ++i)
    rebased += at.ask(db::query{rebase}).one().get<bool>(0) ? 1 : 0;
  stop = true;
  BOOST_TEST(rebased == 0);
}

BOOST_AUTO_TEST_CASE(rows_beyond_every_partition_are_kept_found_and_handed_out) {
  database.exec("select setval('troupe.job_id_seq', 900000000), "
                "setval('troupe.ready_seq_seq', 900000000)");
  const auto ids = at.enqueue_many(20);
  BOOST_TEST(count("job_rest") == 20);
  BOOST_TEST(count("ready_rest") == 1); // a run of twenty
  BOOST_TEST(at.keep_up().partitions_made == 4);
  BOOST_TEST(at.keep_up().partitions_made == 0);
  const auto late = at.enqueue_many(20); // as writers may that were open meanwhile
  BOOST_TEST(count("job_rest") == 40);
  database.exec("select setval('troupe.job_id_seq', low) from troupe.partition"
                " where what = 'jobs' and low > 900000000 order by low limit 1");
  const auto more = at.enqueue_many(20);
  BOOST_TEST(count("job_rest") == 40);
  auto wanted = set_of(ids);
  wanted.merge(set_of(late));
  wanted.merge(set_of(more));
  std::multiset<std::int64_t> given;
  for (const auto& batch : at.drain()) {
    for (const auto& run : batch.jobs)
      given.insert(run->id.value);
    at.finish(batch);
  }
  BOOST_TEST(difference(given, wanted) == "");
  BOOST_TEST(count("attempt_rest") == 40);
  BOOST_TEST(at.state(ids[0]) == "completed");
  BOOST_TEST(
      at.list({{.state = job_state::completed, .queue = {}, .kind = {}}, {}, 100}).jobs.size()
      == 60U);
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
