// Limits per key: what claims hand out and set aside, in which order it comes back, and what
// everybody sees of it meanwhile. key_limits_pgtest.cpp has the same under random operations.
#include "tests/db/keyed_desk.hpp"
#include "tests/db/two_nodes.hpp"

#include <map>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

std::vector<job_id> ids_of(const claimed_jobs& batch) {
  std::vector<job_id> ids;
  for (const auto& run : batch.jobs)
    ids.push_back(run->id);
  return ids;
}

/// All that can be had now, in batches of so many; by job, its batch.
std::map<job_id, claimed_jobs> take_all(desk& from, int limit = 100) {
  std::map<job_id, claimed_jobs> all;
  for (int empty = 0; empty < 3;) {
    const auto batch = from.claim(limit);
    empty = batch.jobs.empty() && !batch.again.value_or(false) ? empty + 1 : 0;
    for (const auto& run : batch.jobs)
      all.emplace(run->id, batch);
  }
  return all;
}

/// Ends one run of a batch and leaves the lease.
finished_runs end_one(desk& at, const claimed_jobs& batch, job_id id,
                      const job_result& result = completed()) {
  finish_runs what{at.node, {}, {}, {}};
  for (const auto& run : batch.jobs)
    if (run->id == id)
      what.runs.push_back(ended(batch, *run, result));
  return at.finish(what);
}

bool holds(const std::map<job_id, claimed_jobs>& all, job_id id) {
  return all.count(id) != 0;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(keys, two_nodes)

BOOST_AUTO_TEST_CASE(of_each_key_no_more_than_the_limit_is_handed_out_to_all_nodes_together) {
  at.limit_keys(2);
  at.enqueue_keyed(5, "a");
  at.enqueue_keyed(5, "b");
  const auto plain = at.enqueue_many(5);
  const auto mine = take_all(at);
  const auto theirs = take_all(other);
  BOOST_TEST(mine.size() + theirs.size() == 9U);
  for (const auto id : plain)
    BOOST_TEST((holds(mine, id) || holds(theirs, id)));
  BOOST_TEST(at.queue()->waiting == 6);
  BOOST_TEST(at.queue()->running == 9);
}

BOOST_AUTO_TEST_CASE(a_run_that_ends_makes_room_for_the_oldest_of_its_key_on_any_node) {
  at.limit_keys(1);
  const auto jobs = at.enqueue_keyed(4, "a");
  const auto first = at.claim();
  BOOST_REQUIRE((ids_of(first) == std::vector{jobs[0]}));
  BOOST_TEST(other.claim().jobs.empty());
  for (std::size_t next = 1; next < jobs.size(); ++next) {
    auto& one = next % 2 ? at : other;
    auto& two = next % 2 ? other : at;
    one.finish(next == 1 ? first
                         : one.adopt(lease_id{
                             std::stoll(database.value("select max(id) from troupe.lease"))}));
    BOOST_TEST((ids_of(two.claim()) == std::vector{jobs[next]}));
  }
}

BOOST_AUTO_TEST_CASE(a_better_priority_comes_first_among_those_that_wait_for_their_key) {
  at.limit_keys(1);
  const auto low = at.enqueue_keyed(2, "a", 5);
  auto batch = at.claim();
  BOOST_REQUIRE((ids_of(batch) == std::vector{low[0]}));
  BOOST_TEST(at.claim().jobs.empty());
  const auto urgent = at.enqueue_keyed(2, "a", 1);
  BOOST_TEST(at.claim().jobs.empty());
  for (const auto next : {urgent[0], urgent[1], low[1]}) {
    at.finish(batch);
    batch = at.claim();
    BOOST_TEST((ids_of(batch) == std::vector{next}));
  }
}

BOOST_AUTO_TEST_CASE(jobs_that_come_later_go_behind_those_that_wait_for_the_key) {
  at.limit_keys(1);
  const auto old = at.enqueue_keyed(2, "a");
  const auto first = at.claim();
  BOOST_TEST(at.claim().jobs.empty());
  at.finish(first);
  at.enqueue_keyed(300, "a"); // in other shards, too
  BOOST_TEST((ids_of(at.claim()) == std::vector{old[1]}));
}

BOOST_AUTO_TEST_CASE(keys_that_wait_take_turns_whatever_each_has_waiting) {
  at.limit_keys(1);
  std::map<std::int64_t, char> key_of;
  for (const auto& [key, count] : std::map<char, int>{{'a', 40}, {'b', 8}, {'c', 8}})
    for (const auto id : at.enqueue_keyed(count, std::string(1, key)))
      key_of[id.value] = key;
  auto running = take_all(at);
  BOOST_REQUIRE(running.size() == 3U);
  for (int round = 0; round < 3; ++round) {
    std::string ended_keys, turns;
    for (const auto& [id, batch] : running) {
      end_one(at, batch, id);
      ended_keys += key_of[id.value];
    }
    running.clear();
    for (int i = 0; i < 3; ++i) {
      const auto next = at.claim_one();
      turns += key_of[next.jobs[0]->id.value];
      running.emplace(next.jobs[0]->id, next);
    }
    BOOST_TEST(turns == ended_keys); // in the order in which there was room
  }
  // All at once: one of each before the second of any.
  at.limit_keys(3);
  std::string at_once;
  for (int i = 0; i < 6; ++i)
    at_once += key_of[at.claim_one().jobs[0]->id.value];
  std::string half = at_once.substr(0, 3);
  std::sort(half.begin(), half.end());
  BOOST_TEST(std::count(at_once.begin(), at_once.end(), 'a') == 2, at_once);
  BOOST_TEST(half == "abc", at_once);
}

BOOST_AUTO_TEST_CASE(twenty_thousand_jobs_of_a_full_key_hold_up_no_other) {
  at.limit_keys(1);
  at.enqueue_keyed(10'000, "big");
  at.enqueue_keyed(10'000, "big");
  const auto other_job = at.enqueue_keyed(1, "other").front();
  BOOST_REQUIRE(at.claim_one().jobs.size() == 1U);
  int claims = 0;
  for (bool found = false; !found; ++claims) {
    BOOST_REQUIRE_LT(claims, 10);
    const auto batch = at.claim(1);
    BOOST_REQUIRE((batch.jobs.empty() ? batch.again == true : batch.jobs[0]->id == other_job));
    found = !batch.jobs.empty();
  }
  BOOST_TEST(at.queue()->waiting >= 10'000);
  take_all(at);
  // And from here on a claim does not look at them any more.
  const auto late = at.enqueue_keyed(1, "third").front();
  const auto before = database.value("select sum(taken) from troupe.lane");
  BOOST_TEST((ids_of(at.claim(1)) == std::vector{late}));
  BOOST_TEST(std::stoll(database.value("select sum(taken) from troupe.lane"))
             == std::stoll(before) + 1);
}

BOOST_AUTO_TEST_CASE(who_waits_for_a_key_is_available_to_everybody) {
  at.limit_keys(1);
  const auto jobs = at.enqueue_keyed(4, "a");
  const auto first = at.claim();
  BOOST_TEST(at.claim().jobs.empty());
  BOOST_REQUIRE(count("parked") == 3);
  BOOST_TEST(at.state(jobs[1]) == "available");
  BOOST_TEST(at.get(jobs[1]).limit_key == "a");
  list_jobs available;
  available.filter.state = job_state::available;
  BOOST_TEST(at.list(available).jobs.size() == 3U);
  BOOST_TEST(at.list(available).jobs[0].limit_key == "a");
  BOOST_TEST(database.value("select string_agg(distinct state || limit_key, ' ') from troupe.jobs "
                            "where id > 1")
             == "availablea");
  BOOST_TEST(at.queue()->waiting == 3);
  at.keep_up();
  at.cancel(jobs[1]);
  BOOST_TEST(at.state(jobs[1]) == "cancelled");
  at.remove(jobs[2]);
  BOOST_TEST(!at.find(jobs[2]).has_value());
  BOOST_TEST(at.queue()->waiting == 1);
  at.keep_up(); // forgets what was revoked
  at.retry(jobs[1]);
  BOOST_TEST(at.queue()->waiting == 2);
  at.finish(first);
  const auto next = at.claim();
  BOOST_REQUIRE(next.jobs.size() == 1U);
  at.finish(next);
  const auto last = at.claim();
  BOOST_REQUIRE(last.jobs.size() == 1U);
  BOOST_TEST((std::set{next.jobs[0]->id, last.jobs[0]->id} == std::set{jobs[1], jobs[3]}));
  at.finish(last);
  BOOST_TEST(at.claim().jobs.empty());
  BOOST_TEST(count("parked") == 0);
}

BOOST_AUTO_TEST_CASE(a_cancelled_run_keeps_its_key_until_its_node_has_ended_it) {
  at.limit_keys(1);
  const auto jobs = at.enqueue_keyed(2, "a");
  const auto first = at.claim();
  at.cancel(jobs[0]);
  BOOST_TEST(other.claim().jobs.empty());
  BOOST_TEST(at.finish(first).fenced.size() == 1U);
  BOOST_TEST((ids_of(other.claim()) == std::vector{jobs[1]}));
}

BOOST_AUTO_TEST_CASE(failed_and_snoozed_runs_make_room_and_wait_behind_no_one_younger) {
  at.limit_keys(1);
  const auto jobs = at.enqueue_keyed(3, "a");
  at.finish(at.claim(), failed("once"));
  auto second = at.claim();
  BOOST_REQUIRE((ids_of(second) == std::vector{jobs[1]}));
  at.finish(second, snoozed(0ms), 0ms);
  const auto third = at.claim();
  BOOST_REQUIRE((ids_of(third) == std::vector{jobs[2]}));
  let_time_pass();
  at.promote();
  BOOST_TEST(at.claim().jobs.empty());
  at.finish(third);
  const auto again = at.claim();
  BOOST_REQUIRE((ids_of(again) == std::vector{jobs[0]}));
  BOOST_TEST(again.jobs[0]->attempt == 2);
}

BOOST_AUTO_TEST_CASE(what_is_sent_twice_frees_a_key_once) {
  at.limit_keys(2);
  const auto jobs = at.enqueue_keyed(6, "a");
  const auto batch = at.claim();
  BOOST_REQUIRE(batch.jobs.size() == 2U);
  end_one(at, batch, jobs[0]);
  end_one(at, batch, jobs[0]);
  BOOST_TEST(take_all(other).size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_dead_node_frees_its_keys_with_its_jobs) {
  at.limit_keys(1);
  const auto jobs = at.enqueue_keyed(2, "a");
  lose();
  BOOST_TEST(at.claim().jobs.empty());
  at.rescue(other.node);
  const auto next = at.claim();
  BOOST_TEST(next.jobs.size() == 1U);
  BOOST_TEST(at.claim().jobs.empty());
  at.finish(next);
  BOOST_TEST(at.claim().jobs.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_finish_in_a_long_transaction_holds_up_neither_claims_nor_finishes) {
  at.limit_keys(2);
  const auto jobs = at.enqueue_keyed(5, "a");
  const auto theirs = other.claim(1);
  const auto mine = at.claim(1);
  other.begin();
  other.finish(theirs);
  BOOST_TEST(at.claim().jobs.empty()); // theirs runs until the commit
  at.finish(mine);
  BOOST_TEST(at.claim().jobs.size() == 1U);
  other.commit();
  BOOST_TEST(at.claim().jobs.size() == 1U);
  BOOST_TEST(at.claim().jobs.empty());
}

BOOST_AUTO_TEST_CASE(a_job_that_somebody_is_cancelling_is_passed_by_and_not_forgotten) {
  at.limit_keys(1);
  const auto jobs = at.enqueue_keyed(3, "a");
  const auto first = at.claim();
  BOOST_TEST(at.claim().jobs.empty());
  other.begin();
  other.cancel(jobs[1]);
  at.finish(first);
  BOOST_TEST(at.claim().jobs.empty());
  other.rollback();
  BOOST_TEST((ids_of(at.claim()) == std::vector{jobs[1]}));
}

BOOST_AUTO_TEST_CASE(claims_of_a_queue_with_such_limits_take_turns) {
  at.limit_keys(1);
  at.enqueue_keyed(2, "a");
  at.begin();
  BOOST_REQUIRE(at.claim(1).jobs.size() == 1U);
  other.send(db::claim_query({other.node, "default", 1}));
  BOOST_REQUIRE(other.waits(database));
  at.commit();
  const auto outcome = other.later();
  BOOST_TEST(db::decode_claimed(std::get<db::result>(outcome), "default").jobs.empty());
}

BOOST_AUTO_TEST_CASE(a_limit_counts_what_runs_already_and_gives_back_what_waits_when_it_goes) {
  const auto jobs = at.enqueue_keyed(6, "a");
  const auto running = at.claim(2);
  BOOST_REQUIRE(running.jobs.size() == 2U);
  at.limit_keys(3);
  BOOST_TEST(take_all(other).size() == 1U);
  at.limit_keys(1); // two more than may run: nothing new until they have ended
  at.finish(running);
  BOOST_TEST(other.claim().jobs.empty());
  at.limit_keys(2);
  BOOST_TEST(take_all(other).size() == 1U);
  BOOST_TEST(count("parked") == 2);
  at.limit_keys(std::nullopt);
  BOOST_TEST(count("parked") == 0);
  BOOST_TEST(count("key_turn") == 0);
  BOOST_TEST(take_all(other).size() == 2U);
  BOOST_TEST(at.queue()->waiting == 0);
  // Of those two nothing was written; the next limit finds them.
  at.limit_keys(4);
  at.enqueue_keyed(1, "a");
  BOOST_TEST(at.claim().jobs.empty());
}

BOOST_AUTO_TEST_CASE(a_limit_is_not_set_while_a_long_transaction_claims) {
  at.enqueue_keyed(1, "a");
  other.begin();
  other.claim();
  BOOST_CHECK_EXCEPTION(at.limit_keys(1), refused, is_conflict);
  other.commit();
  at.limit_keys(1);
}

BOOST_AUTO_TEST_CASE(
    a_key_rate_allows_its_burst_and_then_what_time_allows_and_nothing_is_paid_twice) {
  at.limit_key_rate(job_rate{1, 1h, 2});
  at.enqueue_keyed(5, "a");
  at.enqueue_keyed(1, "b");
  const auto first = take_all(at);
  BOOST_TEST(first.size() == 3U);
  const auto nothing = at.claim();
  BOOST_TEST(nothing.jobs.empty());
  BOOST_REQUIRE(nothing.wait.has_value());
  BOOST_TEST(nothing.wait->count() > 3'500'000);
  BOOST_TEST(nothing.wait->count() <= 3'600'000);
  for (const auto& [id, batch] : first)
    end_one(at, batch, id);
  BOOST_TEST(at.claim().jobs.empty());
  BOOST_TEST(at.queue()->waiting == 3);
  // An hour later.
  database.exec("update troupe.key_pace set rate_at = rate_at - interval '1 hour';"
                "update troupe.key_turn set due_at = due_at - interval '1 hour' "
                "where due_at > '-infinity'");
  BOOST_TEST(at.beat().queues.size() == 1U);
  BOOST_TEST(take_all(at).size() == 1U);
  BOOST_TEST(at.beat().queues.empty());
  // Another rate forgets what was used up.
  at.limit_key_rate(job_rate{1, 1h, 1});
  BOOST_TEST(take_all(at).size() == 1U);
  at.limit_key_rate(std::nullopt);
  BOOST_TEST(take_all(at).size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_key_rate_and_a_key_limit_hold_together) {
  at.limit_keys(2);
  at.limit_key_rate(job_rate{1, 1h, 3});
  at.enqueue_keyed(6, "a");
  const auto first = take_all(at);
  BOOST_TEST(first.size() == 2U);
  for (const auto& [id, batch] : first)
    end_one(at, batch, id);
  BOOST_TEST(take_all(at).size() == 1U);
}

BOOST_AUTO_TEST_CASE(of_a_queue_with_a_key_rate_no_more_is_claimed_than_can_start) {
  at.limit_key_rate(job_rate{1000, 1s, 1000});
  at.enqueue_keyed(50, "a");
  BOOST_TEST(at.claim_for(40, 4, 1).jobs.size() == 3U);
  BOOST_TEST(at.claim_for(40, 4, 4).jobs.empty());
}

BOOST_AUTO_TEST_CASE(a_limit_of_the_queue_and_one_of_its_keys_hold_together) {
  at.limit(3);
  at.limit_keys(2);
  at.enqueue_keyed(5, "a");
  at.enqueue_keyed(5, "b");
  BOOST_TEST(take_all(at).size() == 3U);
  at.pause();
  BOOST_TEST(other.claim().jobs.empty());
}

BOOST_AUTO_TEST_CASE(the_pulse_names_a_queue_as_soon_as_a_key_has_room_and_not_before) {
  at.limit_keys(1);
  at.enqueue_keyed(2, "a");
  const auto first = at.claim();
  BOOST_TEST(at.claim().jobs.empty());
  BOOST_TEST(other.beat().queues.empty());
  at.finish(first);
  BOOST_TEST((other.beat().queues == std::vector<std::string>{"default"}));
  at.pause();
  BOOST_TEST(other.beat().queues.empty());
}

BOOST_AUTO_TEST_CASE(a_replaced_job_waits_for_its_new_key) {
  at.limit_keys(1);
  at.enqueue_keyed(1, "a");
  at.enqueue_keyed(1, "b");
  take_all(at);
  auto spec = unique_job(on_conflict::replace);
  spec.limit_key = "a";
  const auto id = at.enqueue(spec);
  BOOST_TEST(at.claim().jobs.empty());
  spec.limit_key = "c";
  BOOST_TEST(at.enqueue(spec) == id);
  BOOST_TEST(at.get(id).limit_key == "c");
  BOOST_TEST((ids_of(at.claim()) == std::vector{id}));
}

BOOST_AUTO_TEST_CASE(a_limit_key_belongs_to_a_request_that_is_asked_again) {
  const auto with = [&](const std::string& key) {
    return put(at, enqueue_jobs{{{.kind = "noop", .limit_key = key}}, "request"}).use;
  };
  BOOST_TEST((with("a") == key_use::first));
  BOOST_TEST((with("a") == key_use::replayed));
  BOOST_TEST((with("b") == key_use::refused));
  BOOST_TEST((with("") == key_use::refused));
}

BOOST_AUTO_TEST_CASE(a_key_has_1_to_128_bytes_also_by_sql) {
  BOOST_CHECK_THROW(at.enqueue({.kind = "noop", .limit_key = std::string(129, 'x')}), refused);
  BOOST_TEST(
      at.get(at.enqueue({.kind = "noop", .limit_key = std::string(128, 'x')})).limit_key.size()
      == 128U);
  BOOST_CHECK_EXCEPTION(at.ask(db::make_query("select troupe.enqueue('noop', limit_key => '')")),
                        refused, is_invalid);
  const auto id =
      job_id{std::stoll(database.value("select troupe.enqueue('noop', limit_key => 'by sql')"))};
  BOOST_TEST(at.get(id).limit_key == "by sql");
}

BOOST_AUTO_TEST_CASE(workers_of_plain_sql_are_within_the_limit_and_get_no_empty_rows) {
  at.limit_keys(1);
  at.enqueue_keyed(2, "a");
  const auto claim = [&] {
    return database.value("select string_agg(job_id || '/' || lease, ' ') from troupe.claim("
                          + std::to_string(other.node.value) + ", 'default', 10)");
  };
  const auto first = claim();
  BOOST_REQUIRE(first != "NULL");
  BOOST_TEST(claim() == "NULL");
  BOOST_TEST(database.value("select count(*) from troupe.claim(" + std::to_string(at.node.value)
                            + ", 'default', 10)")
             == "0");
  const auto slash = first.find('/');
  database.value("select troupe.finish(" + std::to_string(other.node.value) + ", "
                 + first.substr(slash + 1) + ", " + first.substr(0, slash) + ", 1)");
  BOOST_TEST(claim() != "NULL");
}

BOOST_AUTO_TEST_CASE(after_a_restore_what_waits_for_its_key_comes_once) {
  at.limit_keys(1);
  at.enqueue_keyed(3, "a");
  const auto first = at.claim();
  BOOST_TEST(at.claim().jobs.empty());
  database.exec("update troupe.ready set xact = (xact::text::bigint + 1000000000)::text::xid8;"
                "update troupe.lane set xact = (xact::text::bigint + 1000000000)::text::xid8");
  BOOST_REQUIRE(database.value("select troupe.rebase_lanes()") == "t");
  BOOST_TEST(at.claim().jobs.empty());
  at.finish(first);
  BOOST_TEST(at.claim().jobs.size() == 1U);
  BOOST_TEST(at.claim().jobs.empty());
  BOOST_TEST(count("parked") == 1);
}

BOOST_AUTO_TEST_CASE(writers_that_were_open_when_the_cursor_passed_are_not_forgotten) {
  at.limit_keys(1);
  other.begin();
  const auto late = other.enqueue_keyed(2, "a");
  at.enqueue_keyed(400, "b");
  at.enqueue_many(3);
  BOOST_TEST(take_all(at).size() == 4U);
  other.commit();
  const auto then = take_all(at, 1);
  BOOST_TEST(then.size() == 1U);
  BOOST_TEST((holds(then, late[0]) || holds(then, late[1])));
  BOOST_TEST(at.queue()->waiting == 400);
}

BOOST_AUTO_TEST_CASE(rates_of_keys_that_are_used_up_no_more_are_forgotten) {
  at.limit_key_rate(job_rate{1, 1s, 5});
  at.enqueue_keyed(1, "a");
  at.enqueue_keyed(1, "b");
  take_all(at);
  database.exec(
      "update troupe.key_pace set rate_at = now() - interval '1 hour' where limit_key = 'a'");
  at.keep_up();
  BOOST_TEST(database.value("select string_agg(limit_key, ' ') from troupe.key_pace") == "b");
}

BOOST_AUTO_TEST_SUITE_END()
