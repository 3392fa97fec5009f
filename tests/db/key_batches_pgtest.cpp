// What is noted of runs whose keys are limited: a batch for each claim, which moves to a row for
// each key when it gets old, or when there are too many. And claims whose jobs are read afterwards.
#include "tests/db/two_nodes.hpp"

#include <map>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct key_batches : two_nodes {
  /// Jobs whose keys are these in turn; one without a name has none.
  std::vector<job_id> enqueue(int jobs, const std::vector<std::string>& keys) {
    std::vector<job_spec> specs;
    for (int i = 0; i < jobs; ++i)
      specs.push_back({.kind = "noop",
                       .args = "{\"n\": " + std::to_string(i) + "}",
                       .limit_key = keys[static_cast<std::size_t>(i) % keys.size()]});
    return at.enqueue(specs);
  }
  int count(const std::string& what) {
    return at.ask(db::make_query("select count(*)::int from " + what)).one().get<std::int32_t>(0);
  }
  /// Runs of a key, as a claim counts them.
  std::int64_t running(const std::string& key) {
    return at
        .ask(db::make_query("select (troupe.runs_of_keys('default', array[$1::text]))[1]", key))
        .one()
        .get<std::int64_t>(0);
  }
  /// Ends the first jobs of a batch and leaves the lease; what is left of it stays there.
  void end_some(claimed_jobs& batch, std::size_t jobs) {
    finish_runs what{at.node, {}, {}, {}};
    for (std::size_t i = 0; i < jobs; ++i)
      what.runs.push_back(ended(batch, *batch.jobs[i], completed()));
    at.finish(what);
    batch.jobs.erase(batch.jobs.begin(), batch.jobs.begin() + static_cast<std::ptrdiff_t>(jobs));
  }
  /// Makes a claim look at everything there is.
  void look() { BOOST_TEST(other.claim().jobs.empty()); }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(batches_of_keys, key_batches)

BOOST_AUTO_TEST_CASE(a_large_claim_gives_its_lease_first_and_each_job_once_afterwards) {
  at.limit_keys(1000);
  const auto ids = enqueue(900, {"a", "b", "", "c"});
  std::multiset<std::int64_t> got;
  bool later = false;
  for (;;) {
    const auto rows = at.ask(db::claim_query({at.node, "default", 500}));
    auto batch = db::decode_claimed(rows, "default");
    if (batch.lease.value == 0)
      break;
    if (auto rest = db::leased_query(rows)) {
      later = true;
      BOOST_TEST(batch.jobs.empty());
      db::add_leased(at.ask(*std::move(rest)), "default", batch);
    }
    for (const auto& run : batch.jobs) {
      got.insert(run->id.value);
      BOOST_TEST(run->queue == "default");
      BOOST_TEST(run->attempt == 1);
      BOOST_TEST(run->args == at.get(run->id).args);
    }
  }
  BOOST_TEST(later);
  BOOST_TEST(difference(got, set_of(ids)) == "");
  BOOST_TEST(running("a") == 225);
}

BOOST_AUTO_TEST_CASE(sql_users_get_the_jobs_of_a_large_claim_at_once) {
  at.limit_keys(1000);
  enqueue(400, {"a"});
  BOOST_TEST(
      at.ask(db::make_query("select count(job_id)::int from troupe.claim($1, 'default', 300)",
                            at.node.value))
          .one()
          .get<std::int32_t>(0)
      > 100);
}

BOOST_AUTO_TEST_CASE(a_lease_whose_jobs_were_never_read_is_adopted_whole) {
  at.limit_keys(1000);
  enqueue(400, {"a"});
  const auto unread =
      db::decode_claimed(at.ask(db::claim_query({at.node, "default", 400})), "default");
  BOOST_REQUIRE(unread.lease.value != 0);
  BOOST_REQUIRE(unread.jobs.empty());
  const auto batch = at.adopt(unread.lease);
  BOOST_TEST(static_cast<std::int64_t>(batch.jobs.size()) == running("a"));
  at.finish(batch);
  at.ask(db::make_query("select troupe.fold_keys('default', true)"));
  BOOST_TEST(running("a") == 0);
}

BOOST_AUTO_TEST_CASE(what_ends_counts_no_more_however_it_is_noted) {
  for (const bool old : {false, true}) {
    at.limit_keys(3);
    enqueue(10, {"a"});
    auto batch = at.claim();
    BOOST_REQUIRE_EQUAL(batch.jobs.size(), 3U);
    if (old) {
      make_batches_old(at);
      look();
    }
    BOOST_TEST(count("troupe.key_batch") == (old ? 0 : 1));
    BOOST_TEST(count("troupe.key_run") == (old ? 1 : 0));
    BOOST_TEST(running("a") == 3);
    end_some(batch, 2);
    const auto more = at.claim();
    BOOST_TEST(more.jobs.size() == 2U);
    BOOST_TEST(running("a") == 3);
    at.finish(batch);
    at.finish(more);
    for (auto rest = at.drain(); !rest.empty(); rest = at.drain())
      for (const auto& each : rest)
        at.finish(each);
    look();
    BOOST_TEST(count("troupe.key_runs") == 0);
    BOOST_TEST(count("troupe.key_end") == 0);
  }
}

BOOST_AUTO_TEST_CASE(an_end_that_is_told_twice_makes_room_once) {
  at.limit_keys(3);
  enqueue(10, {"a"});
  const auto batch = at.claim();
  finish_runs first{at.node, {}, {}, {}};
  first.runs.push_back(ended(batch, *batch.jobs[0], completed()));
  at.finish(first);
  at.finish(first);
  BOOST_TEST(at.claim().jobs.size() == 1U);
  at.finish(first);
  look();
  BOOST_TEST(running("a") == 3);
}

BOOST_AUTO_TEST_CASE(ends_of_several_leases_in_one_message_are_each_taken_off_theirs) {
  at.limit_keys(4);
  enqueue(4, {"a"});
  enqueue(4, {"b", ""});
  std::vector<claimed_jobs> batches = at.drain(3);
  BOOST_REQUIRE(batches.size() >= 2U);
  finish_runs what{at.node, {}, {}, {}};
  std::map<std::string, std::int64_t> left{{"a", 4}, {"b", 2}};
  for (const auto& batch : batches) {
    const auto& run = *batch.jobs.front();
    what.runs.push_back(ended(batch, run, completed()));
    --left[at.get(run.id).limit_key];
  }
  at.finish(what);
  enqueue(1, {"a"}); // something that has to ask
  at.ask(db::make_query("select troupe.fold_keys('default', true)"));
  BOOST_TEST(running("a") == left["a"]);
  BOOST_TEST(running("b") == left["b"]);
}

BOOST_AUTO_TEST_CASE(what_a_dead_node_ran_is_taken_off_both_ways) {
  at.limit_keys(2);
  enqueue(8, {"a", "b"});
  BOOST_TEST(other.claim(2).jobs.size() == 2U);
  make_batches_old(at);
  BOOST_TEST(other.claim(2).jobs.size() == 2U);
  BOOST_TEST(count("troupe.key_batch") == 1);
  BOOST_TEST(count("troupe.key_run") > 0);
  make_old(other.node);
  at.rescue(other.node);
  std::size_t jobs = 0;
  for (const auto& batch : at.drain())
    jobs += batch.jobs.size();
  BOOST_TEST(jobs == 4U);
  BOOST_TEST(running("a") == 2);
  BOOST_TEST(running("b") == 2);
}

BOOST_AUTO_TEST_CASE(no_claim_counts_more_than_twenty_thousand_keys_of_batches) {
  // Batches move for their keys only, however old they get meanwhile.
  database.exec("select troupe.edit_function('settle_batches', 'interval ''2 seconds''',"
                " 'interval ''1 hour''')");
  at.limit_keys(1);
  std::vector<std::string> names;
  for (int i = 0; i < 21'000; ++i)
    names.push_back("key-" + std::to_string(i));
  for (std::size_t i = 0; i < names.size(); i += 1000)
    enqueue(1000, {names.begin() + static_cast<std::ptrdiff_t>(i),
                   names.begin() + static_cast<std::ptrdiff_t>(i + 1000)});
  std::size_t jobs = 0;
  for (const auto& batch : at.drain(4000))
    jobs += batch.jobs.size();
  BOOST_TEST(jobs == names.size());
  look();
  const auto in_batches =
      at.ask(db::make_query("select sum(cardinality(names))::int from troupe.key_batch"))
          .one()
          .get<std::int32_t>(0);
  BOOST_TEST(in_batches <= 20'000);
  BOOST_TEST(in_batches > 10'000);
  BOOST_TEST(count("troupe.key_runs") == static_cast<int>(names.size()));
  enqueue(1000, {names.begin(), names.begin() + 1000});
  BOOST_TEST(at.claim(1000).jobs.empty());
}

BOOST_AUTO_TEST_CASE(a_claim_counts_what_it_took_of_late_writers_before_it_reads_on) {
  at.limit_keys(1);
  at.enqueue_keyed(1, "lanes are opened");
  at.claim();
  const auto enqueue = [](desk& of, const std::string& key) {
    of.ask(db::make_query("select setseed(0)")); // all go to the same lane
    of.enqueue_keyed(1, key);
  };
  other.begin();
  enqueue(other, "a");
  enqueue(at, "b");
  at.claim();
  other.commit();
  enqueue(at, "a");
  BOOST_TEST(at.claim().jobs.size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
