// What happens to a job, through the real statements: put in, handed out, ended, tried again.
#include "tests/db/desk.hpp"

#include <set>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

std::vector<std::int64_t> values(const std::vector<job_id>& ids) {
  std::vector<std::int64_t> all;
  for (const auto id : ids)
    all.push_back(id.value);
  return all;
}

std::multiset<std::int64_t> ids_of(const std::vector<claimed_jobs>& batches) {
  std::multiset<std::int64_t> all;
  for (const auto& batch : batches)
    for (const auto& run : batch.jobs)
      all.insert(run->id.value);
  return all;
}

std::multiset<std::int64_t> set_of(const std::vector<job_id>& ids) {
  const auto all = values(ids);
  return {all.begin(), all.end()};
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(putting_in, jobs_database)

BOOST_AUTO_TEST_CASE(a_job_has_what_it_was_given_and_the_defaults_for_the_rest) {
  const auto plain = at.get(at.enqueue());
  BOOST_TEST(plain.queue == "default");
  BOOST_TEST(plain.kind == "noop");
  BOOST_TEST(plain.priority == 0);
  BOOST_TEST(plain.max_attempts == 20);
  BOOST_TEST(plain.args == "{}");
  BOOST_TEST(!plain.timeout);
  BOOST_TEST(plain.tags.empty());
  BOOST_TEST(plain.attempt == 0);
  BOOST_TEST((plain.state == job_state::available));
  BOOST_TEST((plain.run_at == plain.created_at));
  const auto full = at.get(at.enqueue(job_spec{.kind = "k:1",
                                               .queue = "q.a-b_c",
                                               .args = R"({"a":[1,"x"]})",
                                               .priority = 9,
                                               .max_attempts = 1000,
                                               .timeout = 90s,
                                               .tags = {"one", "t,w\"o\\", "{NULL}", "NULL"}}));
  BOOST_TEST(full.queue == "q.a-b_c");
  BOOST_TEST(full.kind == "k:1");
  BOOST_TEST(full.args == R"({"a": [1, "x"]})");
  BOOST_TEST(full.priority == 9);
  BOOST_TEST(full.max_attempts == 1000);
  BOOST_TEST((full.timeout == std::optional<std::chrono::milliseconds>{90s}));
  BOOST_TEST(full.tags == (std::vector<std::string>{"one", "t,w\"o\\", "{NULL}", "NULL"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(many_jobs_of_every_make_keep_the_order_given) {
  std::vector<job_spec> specs;
  for (int i = 0; i < 700; ++i) {
    job_spec one{.kind = "k" + std::to_string(i)};
    if (i % 2)
      one.tags = {"odd"};
    if (i % 3 == 0)
      one.max_attempts = 7;
    if (i % 5 == 0)
      one.timeout = 1s;
    if (i % 7 == 0)
      one.delay = 1h;
    specs.push_back(one);
  }
  const auto ids = at.enqueue(specs);
  BOOST_REQUIRE(ids.size() == specs.size());
  for (std::size_t i = 1; i < ids.size(); ++i)
    BOOST_REQUIRE(ids[i] == job_id{ids[i - 1].value + 1});
  for (const std::size_t i : {0U, 1U, 15U, 21U, 35U, 699U}) {
    const auto job = at.get(ids[i]);
    BOOST_TEST(job.kind == "k" + std::to_string(i));
    BOOST_TEST(job.tags.size() == i % 2);
    BOOST_TEST(job.max_attempts == (i % 3 == 0 ? 7 : 20));
    BOOST_TEST(job.timeout.has_value() == (i % 5 == 0));
    BOOST_TEST((job.state == (i % 7 == 0 ? job_state::scheduled : job_state::available)));
  }
}

BOOST_AUTO_TEST_CASE(no_jobs_at_all_are_stored_as_none) {
  BOOST_TEST(at.enqueue(std::vector<job_spec>{}).empty());
}

BOOST_AUTO_TEST_CASE(run_at_in_the_past_runs_now_and_in_the_future_later) {
  const auto now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  const auto past = at.enqueue(job_spec{.kind = "noop", .run_at = now - 1h});
  const auto future = at.enqueue(job_spec{.kind = "noop", .run_at = now + 1h});
  const auto delayed = at.enqueue(job_spec{.kind = "noop", .delay = 2h});
  BOOST_TEST(at.state(past) == "available");
  BOOST_TEST(at.state(future) == "scheduled");
  BOOST_TEST((at.get(future).run_at == now + 1h));
  BOOST_TEST((at.get(delayed).run_at > now + 119min));
  BOOST_TEST(ids_of(at.drain()) == set_of({past}), boost::test_tools::per_element());
  const auto nothing = at.promote();
  BOOST_TEST(nothing.count == 0);
  BOOST_REQUIRE(nothing.next_due.has_value());
  BOOST_TEST((*nothing.next_due > 59min && *nothing.next_due <= 60min));
}

BOOST_AUTO_TEST_CASE(a_promoted_job_keeps_the_time_it_was_asked_for) {
  const auto id = at.enqueue(job_spec{.kind = "noop", .delay = 0ms});
  const auto asked = at.get(id).run_at;
  BOOST_TEST(at.promote().count == 1);
  BOOST_TEST(at.state(id) == "available");
  BOOST_TEST((at.get(id).run_at == asked));
}

BOOST_AUTO_TEST_CASE(wrong_jobs_are_refused_as_invalid_and_nothing_of_their_batch_is_stored) {
  const job_spec good{.kind = "noop"};
  for (const auto& bad : std::vector<job_spec>{{.kind = ""},
                                               {.kind = std::string(129, 'k')},
                                               {.kind = "noop", .queue = "with space"},
                                               {.kind = "noop", .queue = ""},
                                               {.kind = "noop", .args = "{"},
                                               {.kind = "noop", .args = R"("\u0000")"},
                                               {.kind = "noop", .priority = 10},
                                               {.kind = "noop", .max_attempts = 0},
                                               {.kind = "noop", .timeout = 0ms},
                                               {.kind = std::string("a\0b", 3)}})
    BOOST_CHECK_EXCEPTION(at.enqueue({good, bad, good}), refused, is_invalid);
  BOOST_TEST(count("job") == 0);
  BOOST_TEST(at.drain().empty());
}

BOOST_AUTO_TEST_CASE(a_rolled_back_enqueue_leaves_nothing_and_a_held_one_is_invisible) {
  at.begin();
  at.enqueue_many(3);
  desk other(database.url());
  BOOST_TEST(other.drain().empty());
  at.rollback();
  BOOST_TEST(other.drain().empty());
  BOOST_TEST(count("job") == 0);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(handing_out, jobs_database)

BOOST_AUTO_TEST_CASE(an_empty_queue_and_an_unknown_one_give_nothing) {
  BOOST_TEST(at.claim().jobs.empty());
  BOOST_TEST((at.claim().lease == lease_id{}));
  BOOST_TEST(at.claim(1, "never-heard-of").jobs.empty());
  BOOST_TEST(count("lease") == 0);
}

BOOST_AUTO_TEST_CASE(all_shards_are_drained_and_each_job_comes_once_with_what_it_needs) {
  const auto ids = at.enqueue_many(1500); // chunks of 256 go to all four shards
  BOOST_TEST(database.value("select count(distinct lane) from troupe.ready") == "4");
  const auto batches = at.drain(100);
  BOOST_TEST(ids_of(batches) == set_of(ids), boost::test_tools::per_element());
  for (const auto& batch : batches)
    BOOST_TEST(batch.jobs.size() <= 100U);
  BOOST_TEST(count("lease") == static_cast<int>(batches.size()));
  const auto& run = *batches.front().jobs.front();
  BOOST_TEST(run.kind == "noop");
  BOOST_TEST(run.queue == "default");
  BOOST_TEST(run.attempt == 1);
  BOOST_TEST(run.max_attempts == 20);
  BOOST_TEST(run.args == "{}");
  BOOST_TEST(at.get(run.id).state == job_state::running);
  BOOST_TEST(at.get(run.id).attempt == 1);
  BOOST_TEST(at.get(run.id).attempts.at(0).node == "test");
}

BOOST_AUTO_TEST_CASE(within_a_lane_jobs_come_in_the_order_they_were_put_in) {
  const auto ids = at.enqueue_many(200); // one chunk, one lane
  std::vector<std::int64_t> seen;
  for (const auto& batch : at.drain(7))
    for (const auto& run : batch.jobs)
      seen.push_back(run->id.value);
  BOOST_TEST(seen == values(ids), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(lower_priorities_wait_for_higher_ones) {
  std::vector<job_spec> specs;
  for (int i = 0; i < 60; ++i)
    specs.push_back({.kind = "noop", .priority = i % 3});
  at.enqueue(specs);
  int last = 0;
  for (const auto& batch : at.drain(5))
    for (const auto& run : batch.jobs) {
      const auto priority = at.get(run->id).priority;
      BOOST_TEST(priority >= last);
      last = priority;
    }
  BOOST_TEST(last == 2);
}

BOOST_AUTO_TEST_CASE(queues_do_not_mix) {
  const auto a = at.enqueue_many(3, "a");
  const auto b = at.enqueue_many(3, "b");
  BOOST_TEST(ids_of(at.drain(100, "b")) == set_of(b), boost::test_tools::per_element());
  BOOST_TEST(ids_of(at.drain(100, "a")) == set_of(a), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_adopted_lease_gives_the_jobs_without_an_outcome) {
  at.enqueue_many(3, "q");
  auto batch = at.claim(10, "q");
  BOOST_REQUIRE(batch.jobs.size() == 3U);
  at.finish({at.node, {ended(batch, *batch.jobs[1], completed())}, {}});
  const auto again = at.adopt(batch.lease);
  BOOST_TEST((again.lease == batch.lease));
  BOOST_REQUIRE(again.jobs.size() == 2U);
  BOOST_TEST(again.jobs[0]->queue == "q");
  BOOST_TEST((again.jobs[0]->id == batch.jobs[0]->id));
  BOOST_TEST((again.jobs[1]->id == batch.jobs[2]->id));
  desk other(database.url());
  other.join();
  BOOST_TEST(other.adopt(batch.lease).jobs.empty());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(ending, jobs_database)

BOOST_AUTO_TEST_CASE(completed_runs_leave_their_result_and_no_lease) {
  const auto ids = at.enqueue_many(3);
  const auto batch = at.claim();
  const auto answer = at.finish(batch, completed(R"({"n": 1})"));
  BOOST_TEST(answer.fenced.empty());
  BOOST_TEST(!answer.deferred);
  BOOST_TEST(count("lease") == 0);
  const auto job = at.get(ids[0]);
  BOOST_TEST((job.state == job_state::completed));
  BOOST_TEST(job.attempt == 1);
  BOOST_REQUIRE(job.attempts.size() == 1U);
  BOOST_TEST(job.attempts[0].result == R"({"n": 1})");
  BOOST_TEST(job.attempts[0].node == "test");
  BOOST_TEST((job.attempts[0].started_at < job.attempts[0].finished_at));
  at.enqueue();
  const auto plain = at.claim();
  at.finish(plain);
  BOOST_TEST(at.get(plain.jobs[0]->id).attempts[0].result == "");
}

BOOST_AUTO_TEST_CASE(a_failed_run_waits_is_promoted_and_runs_as_attempt_two) {
  const auto id = at.enqueue();
  const auto answer = at.finish(at.claim(), failed("no luck"));
  BOOST_TEST(answer.deferred);
  BOOST_TEST(at.state(id) == "retryable");
  BOOST_TEST(at.get(id).attempts.at(0).error == "no luck");
  BOOST_TEST((at.get(id).attempts.at(0).ended == outcome::failed));
  BOOST_TEST(at.promote().count == 0);
  let_time_pass();
  const auto moved = at.promote();
  BOOST_TEST(moved.count == 1);
  BOOST_TEST(moved.queues == std::vector<std::string>{"default"}, boost::test_tools::per_element());
  // What was just moved is not due a second time.
  BOOST_TEST(!moved.next_due.has_value());
  BOOST_TEST(at.state(id) == "available");
  const auto second = at.claim_one();
  BOOST_TEST(second.jobs[0]->attempt == 2);
  at.finish(second);
  BOOST_TEST(at.state(id) == "completed");
  BOOST_TEST(at.get(id).attempts.size() == 2U);
}

BOOST_AUTO_TEST_CASE(the_last_attempt_allowed_discards) {
  const auto id = at.enqueue(job_spec{.kind = "noop", .max_attempts = 2});
  const auto once = at.enqueue(job_spec{.kind = "noop", .queue = "once", .max_attempts = 1});
  BOOST_TEST(!at.finish(at.claim(1, "once"), failed("x")).deferred);
  BOOST_TEST(at.state(once) == "discarded");
  at.finish(at.claim(), failed("first"));
  let_time_pass();
  at.promote();
  const auto answer = at.finish(at.claim(), failed("second"));
  BOOST_TEST(answer.fenced.empty());
  BOOST_TEST(at.state(id) == "discarded");
  BOOST_TEST(at.get(id).attempts.at(1).error == "second");
  BOOST_TEST(count("deferred") == 0);
}

BOOST_AUTO_TEST_CASE(a_discarding_handler_is_final_whatever_is_left) {
  const auto id = at.enqueue();
  at.finish(at.claim(), discarded("hopeless"));
  BOOST_TEST(at.state(id) == "discarded");
  BOOST_TEST(at.get(id).attempts.at(0).error == "hopeless");
}

BOOST_AUTO_TEST_CASE(a_snooze_costs_no_attempt_and_leaves_the_lease) {
  const auto ids = at.enqueue_many(2);
  auto batch = at.claim();
  BOOST_REQUIRE(batch.jobs.size() == 2U);
  const auto answer = at.finish({at.node, {ended(batch, *batch.jobs[0], snoozed(1h))}, {}});
  BOOST_TEST(answer.deferred);
  BOOST_TEST(answer.fenced.empty());
  BOOST_TEST(at.state(ids[0]) == "scheduled");
  BOOST_TEST(at.get(ids[0]).attempt == 0);
  BOOST_TEST(at.adopt(batch.lease).jobs.size() == 1U);
  let_time_pass();
  at.promote();
  const auto again = at.claim_one();
  BOOST_TEST(again.jobs[0]->attempt == 1);
  // A rescue of the first lease's node does not take the snoozed one with it.
  BOOST_TEST(at.state(ids[0]) == "running");
  at.finish({at.node, {ended(batch, *batch.jobs[1], completed())}, {batch.lease}});
  at.finish(again);
  BOOST_TEST(at.state(ids[0]) == "completed");
  BOOST_TEST(at.state(ids[1]) == "completed");
  BOOST_TEST(count("lease") == 0);
}

BOOST_AUTO_TEST_CASE(a_poisoned_outcome_is_refused_as_invalid_and_nothing_of_the_batch_is_written) {
  at.enqueue_many(3);
  auto batch = at.claim();
  for (const auto& bad : {completed("{nonsense"), completed(R"("\u0000")"),
                          failed(std::string("a\0b", 3)), failed("\xff\xfe")}) {
    auto what = at.finishing(batch, completed());
    what.runs[1].result = bad;
    BOOST_CHECK_EXCEPTION(at.finish(what), refused, is_invalid);
  }
  BOOST_TEST(count("attempt") == 0);
  BOOST_TEST(count("lease") == 1);
  BOOST_TEST(at.finish(batch).fenced.empty());
}

BOOST_AUTO_TEST_CASE(every_outcome_in_one_batch_is_written_as_it_was_told) {
  const auto ids = at.enqueue_many(5);
  auto batch = at.claim();
  auto what = at.finishing(batch, completed("1"));
  what.runs[1].result = failed("f");
  what.runs[2].result = discarded("d");
  what.runs[3].result = snoozed(1h);
  const auto answer = at.finish(what);
  BOOST_TEST(answer.fenced.empty());
  BOOST_TEST(answer.deferred);
  const std::vector<std::string> states{"completed", "retryable", "discarded", "scheduled",
                                        "completed"};
  for (std::size_t i = 0; i < ids.size(); ++i)
    BOOST_TEST(at.state(ids[i]) == states[i]);
  BOOST_TEST(count("lease") == 0);
}

BOOST_AUTO_TEST_CASE(an_outcome_without_its_lease_is_fenced) {
  const auto ids = at.enqueue_many(2);
  const auto batch = at.claim();
  database.exec("delete from troupe.lease");
  auto what = at.finishing(batch, completed());
  what.runs[1].result = failed("x");
  BOOST_TEST(at.finish(what).fenced.size() == 2U);
  BOOST_TEST(at.finish(batch, completed()).fenced.size() == 2U);
  BOOST_TEST(at.finish(batch, snoozed(1h)).fenced.size() == 2U);
  BOOST_TEST(at.finish(batch, completed(), 1h, false).fenced.size() == 2U);
  BOOST_TEST(count("attempt") == 0);
  BOOST_TEST(count("deferred") == 0);
  // Another node's lease is no lease either.
  at.enqueue();
  const auto mine = at.claim();
  desk other(database.url());
  other.join();
  BOOST_TEST(other.finish(mine).fenced.size() == 1U);
  BOOST_TEST(count("lease") == 1);
}

BOOST_AUTO_TEST_CASE(the_first_outcome_wins_over_a_plain_and_a_mixed_batch) {
  for (const bool plain : {true, false}) {
    const auto ids = at.enqueue_many(3);
    const auto batch = at.claim();
    at.cancel(ids[1]);
    auto what = at.finishing(batch, completed());
    if (!plain)
      what.runs[2].result = failed("x");
    const auto answer = at.finish(what);
    BOOST_REQUIRE(answer.fenced.size() == 1U);
    BOOST_TEST((answer.fenced[0] == ids[1]));
    BOOST_TEST(at.state(ids[0]) == "completed");
    BOOST_TEST(at.state(ids[1]) == "cancelled");
    BOOST_TEST(at.state(ids[2]) == (plain ? "completed" : "retryable"));
    BOOST_TEST(count("lease") == 0);
  }
}

BOOST_AUTO_TEST_CASE(a_failed_or_snoozed_run_that_was_cancelled_first_does_not_come_back) {
  const auto ids = at.enqueue_many(2);
  const auto batch = at.claim();
  at.cancel(ids[0]);
  at.cancel(ids[1]);
  auto what = at.finishing(batch, failed("stopped"));
  what.runs[1].result = snoozed(1s);
  BOOST_TEST(at.finish(what).fenced.size() == 2U);
  BOOST_TEST(count("deferred") == 0);
  BOOST_TEST(at.state(ids[0]) == "cancelled");
  BOOST_TEST(at.state(ids[1]) == "cancelled");
}

BOOST_AUTO_TEST_CASE(the_same_finish_sent_twice_is_not_fenced_and_changes_nothing) {
  const auto ids = at.enqueue_many(4);
  const auto batch = at.claim();
  auto what = at.finishing(batch, completed());
  what.runs[1].result = failed("f");
  what.runs[2].result = snoozed(1h);
  what.runs[3].result = discarded("d");
  at.finish(what);
  const auto again = at.finish(what);
  BOOST_TEST(again.fenced.empty());
  BOOST_TEST(count("deferred") == 2);
  BOOST_TEST(count("attempt") == 3);
  at.enqueue_many(2);
  const auto plain = at.claim();
  at.finish(plain);
  BOOST_TEST(at.finish(plain).fenced.empty());
  BOOST_TEST(at.state(ids[2]) == "scheduled");
}

BOOST_AUTO_TEST_CASE(a_snooze_sent_twice_does_not_double_a_job_that_runs_again_already) {
  const auto ids = at.enqueue_many(2);
  const auto batch = at.claim();
  BOOST_REQUIRE(batch.jobs.size() == 2U);
  for (const bool done : {false, true}) {
    const finish_runs what{at.node,
                           {ended(batch, *batch.jobs[0], snoozed(0ms), 0ms)},
                           done ? std::vector{batch.lease} : std::vector<lease_id>{}};
    if (!done) {
      at.finish(what);
      at.promote();
      BOOST_REQUIRE(at.claim_one().jobs[0]->id == ids[0]);
    }
    at.finish(what);
    BOOST_TEST(count("deferred") == 0);
    BOOST_TEST(at.state(ids[0]) == "running");
  }
}

BOOST_AUTO_TEST_CASE(outcomes_of_several_leases_share_a_statement) {
  std::vector<job_id> ids;
  finish_runs what{at.join(), {}, {}};
  for (int i = 0; i < 4; ++i) {
    const auto queue = "q" + std::to_string(i);
    ids.push_back(at.enqueue_many(2, queue)[0]);
    const auto batch = at.claim(10, queue);
    what.runs.push_back(ended(batch, *batch.jobs[0], completed()));
    if (i % 2)
      what.runs.push_back(ended(batch, *batch.jobs[1], completed()));
    if (i % 2)
      what.done.push_back(batch.lease);
  }
  BOOST_TEST(at.finish(what).fenced.empty());
  BOOST_TEST(count("attempt") == 6);
  BOOST_TEST(count("lease") == 2);
}

BOOST_AUTO_TEST_CASE(a_done_lease_without_any_outcome_goes) {
  at.enqueue();
  const auto batch = at.claim();
  at.finish({at.node, {}, {batch.lease}});
  BOOST_TEST(count("lease") == 0);
}

BOOST_AUTO_TEST_SUITE_END()
