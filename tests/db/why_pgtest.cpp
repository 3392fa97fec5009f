// What holds a job: each reason with its figures, that it goes with its cause, and which of several
// is told.
#include "tests/db/two_nodes.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct asking : two_nodes {
  std::string reason(job_id id) { return std::string{to_string(at.why(id).reason)}; }
  /// What is put in at once is claimed in its order.
  std::vector<job_id> in_one_lane(const std::vector<std::string>& keys) {
    std::vector<job_spec> specs;
    specs.reserve(keys.size());
    for (const auto& key : keys)
      specs.push_back({.kind = "noop", .limit_key = key});
    return at.enqueue(std::move(specs));
  }
  /// The clock of the database is `ahead` of when the job is due, about.
  bool is_due_in(const job_hold& hold, std::chrono::minutes in) {
    if (!hold.due_at)
      return false;
    const auto now = at.ask(db::make_query("select clock_timestamp()")).one().get<timestamp>(0);
    return *hold.due_at > now + in - 1min && *hold.due_at <= now + in;
  }
};

struct nobody_there : jobs_database {
  std::string reason(job_id id) { return std::string{to_string(at.why(id).reason)}; }
  void heard(const std::string& ago) const {
    database.exec("update troupe.node set heartbeat_at = clock_timestamp() - interval '" + ago
                  + "' where ended_at is null");
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(why, asking)

BOOST_AUTO_TEST_CASE(a_job_that_has_ended_is_held_by_nothing_whatever_its_end) {
  const auto done = at.enqueue();
  at.finish(at.claim_one());
  const auto stopped = at.enqueue();
  at.cancel(stopped);
  const auto broken = at.enqueue(job_spec{.kind = "noop", .max_attempts = 1});
  at.finish(at.claim_one(), failed("no luck"));
  for (const auto& [id, state] : {std::pair{done, job_state::completed},
                                  {stopped, job_state::cancelled},
                                  {broken, job_state::discarded}}) {
    const auto hold = at.why(id);
    BOOST_TEST((hold.reason == hold_reason::finished));
    BOOST_TEST((hold.state == state));
    BOOST_TEST((hold.since == at.get(id).attempts.back().finished_at));
  }
  BOOST_TEST(at.why(broken).error == "no luck");
  at.pause();
  BOOST_TEST(reason(done) == "finished");
}

BOOST_AUTO_TEST_CASE(a_running_job_is_told_with_its_node_and_since_when) {
  const auto id = at.enqueue(job_spec{.kind = "slow"});
  BOOST_TEST(reason(id) == "next");
  const auto batch = other.claim_one();
  at.pause(); // what runs goes on
  const auto hold = at.why(id);
  BOOST_TEST((hold.reason == hold_reason::running));
  BOOST_TEST((hold.state == job_state::running));
  BOOST_TEST(hold.node == "two");
  BOOST_TEST(hold.since.has_value());
  BOOST_TEST(hold.kind == "slow");
  other.finish(batch);
  BOOST_TEST(reason(id) == "finished");
}

BOOST_AUTO_TEST_CASE(a_job_that_is_not_due_waits_for_its_time) {
  const auto id = at.enqueue(job_spec{.kind = "noop", .delay = 1h});
  at.pause();
  const auto hold = at.why(id);
  BOOST_TEST((hold.reason == hold_reason::time));
  BOOST_TEST((hold.state == job_state::scheduled));
  BOOST_TEST(is_due_in(hold, 60min));
  at.resume();
  BOOST_TEST(await_until([&] { // seconds later the nodes are late
    let_time_pass();
    return reason(id) == "next";
  }));
  at.promote();
  BOOST_TEST(reason(id) == "next");
}

BOOST_AUTO_TEST_CASE(a_job_that_failed_waits_for_its_next_attempt_and_shows_why_it_failed) {
  const auto id = at.enqueue();
  at.finish(at.claim_one(), failed("no handler for kind 'noop' on this node"), 30min);
  const auto hold = at.why(id);
  BOOST_TEST((hold.reason == hold_reason::time));
  BOOST_TEST((hold.state == job_state::retryable));
  BOOST_TEST(hold.error == "no handler for kind 'noop' on this node");
  BOOST_TEST(is_due_in(hold, 30min));
  at.retry(id);
  BOOST_TEST(reason(id) == "next");
  at.finish(at.claim_one(), snoozed(1h));
  BOOST_TEST(reason(id) == "time");
}

BOOST_AUTO_TEST_CASE(a_due_job_that_nobody_moves_into_its_lane_shows_that_nodes_are_late) {
  const auto id = at.enqueue(job_spec{.kind = "noop", .delay = 1h});
  database.exec("update troupe.deferred set due_at = now() - interval '1 minute'");
  const auto hold = at.why(id);
  BOOST_TEST((hold.reason == hold_reason::lag));
  BOOST_TEST(hold.due_at.has_value());
  at.promote();
  BOOST_TEST(reason(id) == "next");
}

BOOST_AUTO_TEST_CASE(a_full_key_holds_its_jobs_before_and_after_a_claim_has_set_them_aside) {
  at.limit_keys(1);
  const auto jobs = in_one_lane({"a", "a", "a", "b"});
  const auto free = jobs[3];
  const auto batch = at.claim_one();
  const auto second = at.why(jobs[1]);
  BOOST_TEST((second.reason == hold_reason::key_limit));
  BOOST_TEST((second.state == job_state::available));
  BOOST_TEST(second.limit_key == "a");
  BOOST_TEST(second.allowed.value_or(0) == 1);
  BOOST_TEST(second.in_use.value_or(0) == 1);
  BOOST_TEST(reason(free) != "key_limit");
  other.drain(1);
  BOOST_TEST(at.why(jobs[1]).ahead.value_or(-1) == 0);
  const auto third = at.why(jobs[2]);
  BOOST_TEST((third.reason == hold_reason::key_limit));
  BOOST_TEST(third.ahead.value_or(-1) == 1);
  at.finish(batch);
  BOOST_TEST(reason(jobs[1]) == "next");
  BOOST_TEST(reason(jobs[2]) == "turn");
  at.limit_keys(std::nullopt);
  BOOST_TEST(reason(jobs[1]) == "next");
  BOOST_TEST(!at.why(jobs[1]).in_use.has_value());
}

BOOST_AUTO_TEST_CASE(a_run_of_the_key_that_ended_does_not_count_though_nobody_has_taken_it_off) {
  at.limit_keys(2);
  const auto jobs = at.enqueue_keyed(4, "a");
  const auto batch = at.claim(2);
  BOOST_REQUIRE_EQUAL(batch.jobs.size(), 2U);
  BOOST_TEST(reason(jobs[3]) == "key_limit");
  finish_runs one{at.node, {}, {}, {}};
  one.runs.push_back(ended(batch, *batch.jobs[0], completed()));
  at.finish(one);
  BOOST_TEST(reason(jobs[2]) == "next");
  BOOST_TEST(other.claim().jobs.size() == 1U);
  BOOST_TEST(reason(jobs[3]) == "key_limit");
}

BOOST_AUTO_TEST_CASE(a_key_beyond_its_rate_holds_its_jobs_until_the_rate_allows_them) {
  at.limit_key_rate(job_rate{1, 1h, 1});
  const auto jobs = at.enqueue_keyed(2, "a");
  at.claim_one();
  const auto hold = at.why(jobs[1]);
  BOOST_TEST((hold.reason == hold_reason::key_rate));
  BOOST_TEST(is_due_in(hold, 60min));
  at.limit_key_rate(job_rate{2, 1h, 2});
  BOOST_TEST(reason(jobs[1]) == "next");
}

BOOST_AUTO_TEST_CASE(a_paused_queue_holds_its_jobs_until_it_is_resumed) {
  const auto id = at.enqueue();
  const auto elsewhere = at.enqueue(job_spec{.kind = "noop", .queue = "open"});
  at.pause();
  const auto hold = at.why(id);
  BOOST_TEST((hold.reason == hold_reason::paused));
  BOOST_TEST((hold.since == at.queue()->paused_at));
  BOOST_TEST(hold.queue == "default");
  BOOST_TEST(reason(elsewhere) == "next");
  at.resume();
  BOOST_TEST(reason(id) == "next");
}

BOOST_AUTO_TEST_CASE(a_full_queue_holds_its_jobs_until_a_run_has_ended) {
  at.limit(1);
  const auto jobs = at.enqueue_many(2);
  const auto batch = at.claim_for(1, 1, 0);
  BOOST_REQUIRE_EQUAL(batch.jobs.size(), 1U);
  const auto hold = at.why(jobs[1]);
  BOOST_TEST((hold.reason == hold_reason::limit));
  BOOST_TEST(hold.allowed.value_or(0) == 1);
  BOOST_TEST(hold.in_use.value_or(0) == 1);
  BOOST_TEST(hold.nodes == 2);
  at.finish(batch); // the node keeps its permit, and may run another one
  BOOST_TEST(reason(jobs[1]) == "next");
}

BOOST_AUTO_TEST_CASE(a_job_that_was_claimed_ahead_of_the_limit_is_held_by_it_on_its_node) {
  at.limit(1);
  const auto jobs = at.enqueue_many(4);
  const auto batch = at.claim_for(30, 10, 0);
  BOOST_REQUIRE_EQUAL(batch.jobs.size(), 3U);
  BOOST_TEST(reason(batch.jobs[0]->id) == "running");
  const auto hold = at.why(batch.jobs[2]->id);
  BOOST_TEST((hold.reason == hold_reason::limit));
  BOOST_TEST((hold.state == job_state::running));
  BOOST_TEST(hold.node == "one");
  BOOST_TEST(hold.allowed.value_or(0) == 1);
  BOOST_TEST(hold.in_use.value_or(0) == 1);
  BOOST_TEST(hold.ahead.value_or(-1) == 1);
  BOOST_TEST(reason(jobs[3]) == "limit");
  finish_runs first{at.node, {}, {}, {}};
  first.runs.push_back(ended(batch, *batch.jobs[0], completed()));
  at.finish(first);
  BOOST_TEST(reason(batch.jobs[1]->id) == "running");
  BOOST_TEST(at.why(batch.jobs[2]->id).ahead.value_or(-1) == 0);
  at.limit(std::nullopt);
  BOOST_TEST(reason(batch.jobs[2]->id) == "running");
}

BOOST_AUTO_TEST_CASE(a_limit_that_was_lowered_holds_all_until_enough_was_given_back) {
  at.limit(3);
  const auto jobs = at.enqueue_many(4);
  const auto batch = at.claim_for(3, 3, 0);
  BOOST_REQUIRE_EQUAL(batch.jobs.size(), 3U);
  at.limit(2);
  const auto hold = at.why(jobs[3]);
  BOOST_TEST((hold.reason == hold_reason::limit));
  BOOST_TEST(hold.allowed.value_or(0) == 2);
  BOOST_TEST(hold.in_use.value_or(0) == 3);
  at.limit(std::nullopt);
  BOOST_TEST(reason(jobs[3]) == "next");
}

BOOST_AUTO_TEST_CASE(a_queue_beyond_its_rate_holds_its_jobs_until_the_rate_allows_them) {
  at.limit_rate(job_rate{1, 1h, 1});
  const auto jobs = at.enqueue_many(2);
  at.claim_one();
  const auto hold = at.why(jobs[1]);
  BOOST_TEST((hold.reason == hold_reason::rate));
  BOOST_TEST(is_due_in(hold, 60min));
  at.limit_rate(std::nullopt);
  BOOST_TEST(reason(jobs[1]) == "next");
}

BOOST_AUTO_TEST_CASE(a_job_behind_others_waits_for_its_turn_and_counts_them) {
  const auto jobs = at.enqueue_many(3);
  const auto low = at.enqueue(job_spec{.kind = "noop", .priority = 5});
  const auto elsewhere = at.enqueue(job_spec{.kind = "noop", .queue = "other"});
  BOOST_TEST(reason(jobs[0]) == "next");
  const auto hold = at.why(jobs[2]);
  BOOST_TEST((hold.reason == hold_reason::turn));
  BOOST_TEST(hold.ahead.value_or(-1) == 2);
  BOOST_TEST(!hold.more_ahead);
  BOOST_TEST(at.why(low).ahead.value_or(-1) == 3);
  BOOST_TEST(reason(elsewhere) == "next");
  at.cancel(jobs[1]);
  BOOST_TEST(at.why(low).ahead.value_or(-1) == 2);
  at.finish(at.claim());
  BOOST_TEST(reason(low) == "next");
}

BOOST_AUTO_TEST_CASE(the_jobs_ahead_are_counted_so_far_and_no_further) {
  const auto first = at.enqueue_many(10'000).front();
  for (int i = 0; i < 4; ++i)
    at.enqueue_many(10'000);
  const auto last = at.enqueue();
  const auto hold = at.why(last);
  BOOST_TEST((hold.reason == hold_reason::turn));
  BOOST_TEST(hold.ahead.value_or(0) == 10'000);
  BOOST_TEST(hold.more_ahead);
  BOOST_TEST(at.why(job_id{first.value + 9'999}).ahead.value_or(0) == 9'999);
  BOOST_TEST(!at.why(job_id{first.value + 9'999}).more_ahead);
}

BOOST_AUTO_TEST_CASE(a_job_whose_writer_was_late_is_found_behind_the_cursor) {
  other.begin();
  const auto late = other.enqueue();
  at.enqueue_many(1200); // in all four lanes
  at.drain(500);
  other.commit();
  const auto newer = at.enqueue();
  BOOST_TEST(reason(late) == "next");
  BOOST_TEST(at.why(newer).ahead.value_or(-1) == 1);
  at.drain();
  BOOST_TEST(reason(late) == "running");
}

BOOST_AUTO_TEST_CASE(a_job_that_was_made_to_run_again_is_told_by_its_new_attempt) {
  const auto id = at.enqueue();
  at.cancel(id);
  at.retry(id);
  const auto hold = at.why(id);
  BOOST_TEST((hold.reason == hold_reason::next));
  BOOST_TEST((hold.state == job_state::available));
}

BOOST_AUTO_TEST_CASE(of_several_causes_one_is_told_and_then_the_next) {
  at.limit_keys(1);
  at.limit(1);
  at.limit_rate(job_rate{1, 1h, 1});
  const auto jobs = in_one_lane({"a", "a", "b"});
  const auto third = jobs[2];
  at.claim_for(1, 1, 0);
  at.pause();
  BOOST_TEST(reason(jobs[1]) == "key_limit");
  at.limit_keys(std::nullopt);
  BOOST_TEST(reason(jobs[1]) == "paused");
  at.resume();
  BOOST_TEST(reason(jobs[1]) == "limit");
  at.limit(std::nullopt);
  BOOST_TEST(reason(jobs[1]) == "rate");
  at.limit_rate(std::nullopt);
  BOOST_TEST(reason(jobs[1]) == "next");
  BOOST_TEST(reason(third) == "turn");
}

BOOST_AUTO_TEST_CASE(a_job_that_there_is_not_is_not_found) {
  BOOST_CHECK_EXCEPTION(at.why(job_id{4711}), refused, is_not_found);
  const auto id = at.enqueue();
  at.remove(id);
  BOOST_CHECK_EXCEPTION(at.why(id), refused, is_not_found);
}

BOOST_AUTO_TEST_CASE(asking_changes_nothing_and_may_be_done_where_nothing_may_change) {
  const auto jobs = at.enqueue_keyed(2, "a");
  at.limit_keys(1);
  at.limit_key_rate(job_rate{5, 1s, 5});
  at.limit(5);
  at.limit_rate(job_rate{5, 1s, 5});
  at.claim_for(1, 5, 0);
  at.ask(db::make_query("begin read only"));
  for (const auto id : jobs)
    at.why(id);
  BOOST_TEST(
      at.ask(db::make_query("select pg_current_xact_id_if_assigned() is null")).one().get<bool>(0));
  at.commit();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(why_nobody, nobody_there)

BOOST_AUTO_TEST_CASE(without_a_live_node_a_job_waits_for_one) {
  const auto id = at.enqueue();
  const auto hold = at.why(id);
  BOOST_TEST((hold.reason == hold_reason::no_node));
  BOOST_TEST(hold.nodes == 0);
  BOOST_TEST(!hold.since.has_value());
  at.join();
  heard("-1 hour");
  BOOST_TEST(reason(id) == "next");
  BOOST_TEST(at.why(id).nodes == 1);
  at.leave();
  BOOST_TEST(reason(id) == "no_node");
}

BOOST_AUTO_TEST_CASE(a_node_that_is_late_is_told_as_late_and_then_as_gone) {
  const auto id = at.enqueue();
  at.join();
  heard("10 s");
  BOOST_TEST(reason(id) == "lag");
  BOOST_TEST(at.why(id).since.has_value());
  heard("1 min");
  BOOST_TEST(reason(id) == "no_node");
  BOOST_TEST(at.why(id).since.has_value());
  heard("-1 hour");
  BOOST_TEST(reason(id) == "next");
}

BOOST_AUTO_TEST_CASE(what_dead_nodes_ran_fills_no_limit) {
  at.join();
  at.limit(1);
  at.limit_keys(1);
  const auto jobs = at.enqueue_keyed(2, "a");
  at.claim_for(1, 1, 0);
  heard("-1 hour");
  BOOST_TEST(reason(jobs[1]) == "key_limit");
  heard("1 min");
  BOOST_TEST(reason(jobs[1]) == "no_node");
}

BOOST_AUTO_TEST_CASE(a_kind_that_no_live_node_has_holds_its_jobs) {
  const auto kinds = [](std::vector<std::string> names) { return std::optional{std::move(names)}; };
  const auto id = at.enqueue(job_spec{.kind = "resize"});
  const auto later = at.enqueue(job_spec{.kind = "resize", .delay = 1h});
  const auto plain = at.enqueue();
  at.ask(db::join_query({.name = "one", .kinds = kinds({"noop", "echo"})}));
  heard("-1 hour");
  BOOST_TEST(reason(id) == "no_kind");
  BOOST_TEST(at.why(id).nodes == 1);
  BOOST_TEST(!at.why(id).due_at.has_value());
  BOOST_TEST(reason(later) == "time");
  BOOST_TEST(reason(plain) != "no_kind");
  at.ask(db::join_query({.name = "two", .kinds = kinds({"resize"})}));
  heard("-1 hour");
  BOOST_TEST(reason(id) == "next");
  database.exec("update troupe.node set ended_at = now() where name = 'two'");
  BOOST_TEST(reason(id) == "no_kind");
  at.pause();
  BOOST_TEST(reason(id) == "paused");
  at.resume();
  at.join(); // as a worker by SQL, which tells no kinds
  heard("-1 hour");
  BOOST_TEST(reason(id) == "next");
}

BOOST_AUTO_TEST_CASE(a_job_that_failed_for_want_of_its_kind_waits_for_a_node_that_has_it) {
  at.join();
  heard("-1 hour");
  const auto id = at.enqueue(job_spec{.kind = "resize"});
  auto batch = at.claim_one();
  at.finish(batch, failed("unknown kind"));
  BOOST_TEST(reason(id) == "time");
  database.exec("update troupe.node set kinds = '{noop}'");
  const auto held = at.why(id);
  BOOST_TEST((held.reason == hold_reason::no_kind));
  BOOST_TEST(held.due_at.has_value());
  BOOST_TEST(held.error == "unknown kind");
}

BOOST_AUTO_TEST_CASE(a_node_that_leaves_a_queue_to_others_does_not_serve_it) {
  const auto id = at.enqueue(job_spec{.kind = "noop", .queue = "mail"});
  const auto plain = at.enqueue();
  at.ask(db::join_query({"one", {"mail"}}));
  heard("-1 hour");
  BOOST_TEST(reason(id) == "no_node");
  BOOST_TEST(reason(plain) == "next");
  at.ask(db::join_query({"two", {"x"}, std::vector<std::string>{"mail"}}));
  heard("-1 hour");
  BOOST_TEST(reason(id) == "next");
  BOOST_TEST(at.why(id).nodes == 1);
  BOOST_TEST(at.why(plain).nodes == 1);
  database.exec("update troupe.node set ended_at = now() where name = 'one'");
  BOOST_TEST(reason(plain) == "no_node");
}

BOOST_AUTO_TEST_CASE(a_worker_by_sql_may_serve_any_queue_and_the_function_is_for_all) {
  const auto id = at.enqueue(job_spec{.kind = "noop", .queue = "sql"});
  at.ask(db::make_query("select troupe.join_node('psql')"));
  heard("-1 hour");
  const auto row =
      at.ask(db::make_query("select reason, state, nodes from troupe.why($1)", id)).one();
  BOOST_TEST(row.get<std::string>(0) == "next");
  BOOST_TEST(row.get<std::string>(1) == "available");
  BOOST_TEST(row.get<std::int32_t>(2) == 1);
}

BOOST_AUTO_TEST_SUITE_END()
