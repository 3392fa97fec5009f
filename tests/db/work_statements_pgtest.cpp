// Workers by HTTP in the database: who may speak for one, how each outcome is fenced by itself, and
// what a lost answer leaves behind.
#include "db/node_statements.hpp"
#include "tests/db/work_desk.hpp"

#include <algorithm>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

BOOST_FIXTURE_TEST_SUITE(work, two_workers)

BOOST_AUTO_TEST_CASE(a_job_comes_with_all_that_was_said_of_it) {
  const std::string trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const auto id = at.enqueue(job_spec{.kind = "noop",
                                      .args = R"({"a":1})",
                                      .priority = 3,
                                      .max_attempts = 7,
                                      .timeout = 5s,
                                      .tags = {"x", "y"},
                                      .limit_key = "k",
                                      .traceparent = trace});
  const auto got = one.claim();
  BOOST_REQUIRE_EQUAL(got.jobs.size(), 1U);
  const auto& job = got.jobs[0];
  BOOST_TEST(job.id.value == id.value);
  BOOST_TEST(job.attempt == 1);
  BOOST_TEST(job.max_attempts == 7);
  BOOST_TEST((job.timeout == std::optional<std::chrono::milliseconds>{5s}));
  BOOST_TEST(job.queue == "default");
  BOOST_TEST(job.kind == "noop");
  BOOST_TEST(job.args == R"({"a": 1})");
  BOOST_TEST(job.priority == 3);
  BOOST_TEST((job.tags == std::vector<std::string>{"x", "y"}));
  BOOST_TEST(job.limit_key == "k");
  BOOST_TEST(job.traceparent == trace);
  BOOST_TEST(at.state(id) == "running");
  BOOST_TEST(two.claim().jobs.empty());
  BOOST_TEST((one.finish(job, completed(R"({"b":2})")) == work_fate::done));
  BOOST_TEST(at.state(id) == "completed");
  BOOST_TEST(at.get(id).attempts.at(0).node == "w");
  BOOST_TEST(leases() == 0);
}

BOOST_AUTO_TEST_CASE(nobody_speaks_for_a_worker_without_its_secret_and_its_token) {
  at.enqueue();
  const auto job = one.claim().jobs.at(0);
  auto wrong_secret = one;
  wrong_secret.session.hash[31] = 'x';
  auto wrong_token = one;
  wrong_token.session.token = 7;
  auto wrong_node = one;
  wrong_node.session.node = two.session.node;
  auto engine_node = one;
  engine_node.session.node = at.join("engine");
  for (const auto& who : {wrong_secret, wrong_token, wrong_node, engine_node}) {
    BOOST_CHECK_EXCEPTION(who.claim(), refused, is_gone);
    BOOST_CHECK_EXCEPTION(who.finish(job), refused, is_gone);
    BOOST_CHECK_EXCEPTION(who.beat(), refused, is_gone);
    BOOST_CHECK_EXCEPTION(who.report({}), refused, is_gone);
    BOOST_CHECK_EXCEPTION(who.leave(), refused, is_gone);
  }
  worker bound{at};
  bound.session.token = 7;
  bound.join();
  BOOST_CHECK_NO_THROW(bound.beat());
  bound.session.token.reset();
  BOOST_CHECK_EXCEPTION(bound.beat(), refused, is_gone);
  BOOST_TEST((one.finish(job) == work_fate::done));
}

BOOST_AUTO_TEST_CASE(of_large_jobs_only_so_many_come_at_once) {
  const std::string large = "\"" + std::string(1'000'000, 'x') + "\"";
  at.enqueue(std::vector<job_spec>(20, job_spec{.kind = "noop", .args = large}));
  std::size_t most = 0;
  std::size_t all = 0;
  for (;;) {
    const auto got = one.claim(20).jobs;
    if (got.empty()) {
      if (at.promote().count == 0)
        break;
      continue;
    }
    most = std::max(most, got.size());
    all += got.size();
    for (const auto& job : got)
      BOOST_TEST((one.finish(job) == work_fate::done));
  }
  BOOST_TEST(all == 20U);
  BOOST_TEST(most <= 16U);
  BOOST_TEST(leases() == 0);
}

BOOST_AUTO_TEST_CASE(a_worker_claims_only_where_it_has_joined) {
  at.enqueue(job_spec{.kind = "noop", .queue = "mail"});
  BOOST_CHECK_EXCEPTION(one.claim(1, "mail"), refused, is_invalid);
  worker mail{at};
  mail.join(15s, {"news", "mail"});
  BOOST_TEST(mail.claim(1, "news").jobs.empty());
  BOOST_TEST(mail.claim(1, "mail").jobs.size() == 1U);
}

BOOST_AUTO_TEST_CASE(each_outcome_is_fenced_by_itself) {
  at.enqueue_many(5);
  const auto jobs = one.claim_all();
  BOOST_REQUIRE_EQUAL(jobs.size(), 5U);
  at.enqueue();
  const auto foreign = two.claim().jobs.at(0);
  at.cancel(jobs[2].id);
  auto stale = jobs[3];
  ++stale.attempt;
  const auto told = one.finish({{jobs[0].lease, jobs[0].id, 1, completed("{}")},
                                {foreign.lease, foreign.id, 1, completed()},
                                {jobs[1].lease, jobs[1].id, 1, failed("no")},
                                {jobs[2].lease, jobs[2].id, 1, completed()},
                                {stale.lease, stale.id, stale.attempt, completed()},
                                {jobs[4].lease, jobs[4].id, 1, discarded("never")}});
  const std::vector<work_fate> wanted{work_fate::done,      work_fate::fenced, work_fate::done,
                                      work_fate::cancelled, work_fate::fenced, work_fate::done};
  BOOST_TEST((told.fates == wanted));
  BOOST_TEST(at.state(jobs[0].id) == "completed");
  BOOST_TEST(at.state(foreign.id) == "running");
  BOOST_TEST(at.state(jobs[1].id) == "retryable");
  BOOST_TEST((told.effects.next_due == std::optional<std::chrono::milliseconds>{1s}));
  BOOST_TEST(at.state(jobs[2].id) == "cancelled");
  BOOST_TEST(at.state(jobs[3].id) == "running");
  BOOST_TEST(at.state(jobs[4].id) == "discarded");
  BOOST_TEST((one.finish(jobs[3]) == work_fate::done));
  BOOST_TEST(leases() == 1);
}

BOOST_AUTO_TEST_CASE(the_same_outcome_told_again_is_the_same_answer_and_another_one_is_fenced) {
  at.enqueue_many(3);
  const auto jobs = one.claim_all();
  const auto results = [&](const std::string& error) {
    return std::vector<ended_work>{{jobs[0].lease, jobs[0].id, 1, completed("1")},
                                   {jobs[1].lease, jobs[1].id, 1, failed(error)},
                                   {jobs[2].lease, jobs[2].id, 1, snoozed(1h)}};
  };
  const std::vector<work_fate> all(3, work_fate::done);
  BOOST_TEST((one.finish(results("no")).fates == all));
  BOOST_TEST((one.finish(results("no")).fates == all));
  BOOST_TEST((one.finish(results("other")).fates.at(1) == work_fate::fenced));
  BOOST_TEST((one.finish(jobs[0], failed("no")) == work_fate::fenced));
  BOOST_TEST(at.get(jobs[0].id).attempts.size() == 1U);
  BOOST_TEST(count("deferred") == 2);
  BOOST_TEST(leases() == 0);
}

BOOST_AUTO_TEST_CASE(of_each_run_that_ends_is_told_what_its_span_says) {
  const std::string trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  at.enqueue(job_spec{.kind = "noop", .traceparent = trace});
  at.enqueue_many(3);
  at.enqueue(job_spec{.kind = "noop", .max_attempts = 1});
  auto jobs = one.claim_all();
  BOOST_REQUIRE_EQUAL(jobs.size(), 5U);
  std::sort(jobs.begin(), jobs.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  at.cancel(jobs[3].id);
  make_leases_old();
  const auto run = [](const claimed_job& job, job_result result) {
    return ended_work{job.lease, job.id, job.attempt, std::move(result)};
  };
  const auto told = one.told_of({run(jobs[0], completed()), run(jobs[1], failed("no")),
                                 run(jobs[2], snoozed(1h)), run(jobs[3], completed())});
  BOOST_REQUIRE_EQUAL(told.size(), 4U);
  const std::vector<run_end> ends{run_end::completed, run_end::retried, run_end::snoozed,
                                  run_end::cancelled};
  for (std::size_t i = 0; i < told.size(); ++i) {
    const auto one_of = std::find_if(told.begin(), told.end(),
                                     [&](const told_work& each) { return each.id == jobs[i].id; });
    BOOST_REQUIRE((one_of != told.end()));
    BOOST_TEST((one_of->how == ends[i]));
    BOOST_TEST((one_of->took >= 1min && one_of->took < 2min));
    BOOST_TEST(one_of->queue == "default");
    BOOST_TEST(one_of->kind == "noop");
    BOOST_TEST(one_of->traceparent == (i == 0 ? trace : ""));
  }
  // What is told once more, and what is not its own, has been told of.
  BOOST_TEST(one.told_of({run(jobs[0], completed()), run(jobs[2], snoozed(1h))}).empty());
  BOOST_TEST(two.told_of({run(jobs[4], completed())}).empty());
  const auto last = one.told_of({run(jobs[4], failed("no"))});
  BOOST_REQUIRE_EQUAL(last.size(), 1U);
  BOOST_TEST((last[0].how == run_end::discarded)); // there are no more attempts
}

BOOST_AUTO_TEST_CASE(who_does_not_ask_is_told_nothing_of_spans) {
  at.enqueue();
  const auto job = one.claim().jobs.at(0);
  BOOST_TEST(one.finish({{job.lease, job.id, 1, completed()}}).told.empty());
}

BOOST_AUTO_TEST_CASE(a_failed_run_is_tried_again_as_its_job_says) {
  const auto fixed =
      at.enqueue(job_spec{.kind = "noop", .priority = 1, .retry = retry_policy::fixed(7s)});
  const auto once = at.enqueue(job_spec{.kind = "noop", .retry = retry_policy::none()});
  BOOST_TEST((one.finish(one.claim(1).jobs.at(0), failed("no")) == work_fate::done));
  BOOST_TEST(at.state(once) == "discarded");
  const auto job = one.claim().jobs.at(0);
  const auto told = one.finish({{job.lease, job.id, 1, failed("no")}});
  BOOST_TEST((told.effects.next_due == std::optional<std::chrono::milliseconds>{7s}));
  let_time_pass();
  at.promote();
  const auto again = one.claim().jobs.at(0);
  BOOST_TEST(again.attempt == 2);
  BOOST_TEST((one.finish(again, failed("no")) == work_fate::done));
  BOOST_TEST(at.get(fixed).attempts.size() == 2U);
}

BOOST_AUTO_TEST_CASE(a_worker_may_be_silent_for_as_long_as_it_has_said) {
  worker patient{at};
  patient.join(600s);
  at.join("engine");
  const auto silent = [&](const worker& who, const std::string& how_long) {
    database.exec("update troupe.node set heartbeat_at = heartbeat_at - interval '" + how_long
                  + "' where id = " + std::to_string(who.session.node.value));
    keep_alive(at.node); // who is silent itself declares nobody dead
    const auto dead = at.beat().dead;
    return std::count(dead.begin(), dead.end(), who.session.node);
  };
  BOOST_TEST(silent(patient, "540 s") == 0);
  for (const auto id : {at.node, one.session.node, two.session.node})
    keep_alive(id);
  BOOST_TEST(at.why(at.enqueue()).nodes == 4);
  BOOST_TEST(silent(patient, "61 s") == 1);
  patient.beat();
  BOOST_TEST(silent(patient, "540 s") == 0);
  const get_node ask{"w"};
  const auto seen = db::decode_node(at.ask(db::node_query(ask)));
  BOOST_REQUIRE(seen.has_value());
  BOOST_TEST((seen->state == node_state::alive));
  BOOST_TEST(seen->version == "1.2");
  BOOST_TEST((*seen->heartbeat_at <= std::chrono::system_clock::now()));
}

BOOST_AUTO_TEST_CASE(a_worker_that_was_given_up_changes_nothing_any_more) {
  const auto id = at.enqueue();
  const auto job = one.claim().jobs.at(0);
  BOOST_TEST(lose(one).count == 1);
  const auto again = two.claim().jobs.at(0);
  BOOST_TEST(again.attempt == 2);
  BOOST_CHECK_EXCEPTION(one.finish(job), refused, is_gone);
  BOOST_CHECK_EXCEPTION(one.beat(), refused, is_gone);
  BOOST_CHECK_EXCEPTION(one.claim(), refused, is_gone);
  one.join();
  BOOST_TEST((one.finish(job) == work_fate::fenced));
  BOOST_TEST((one.beat(std::vector{id}).lost == std::vector{id}));
  BOOST_TEST(one.report({{{{job.lease, id, 1}, 50, "half"}}, {}}).fenced.size() == 1U);
  BOOST_TEST((two.finish(again) == work_fate::done));
}

BOOST_AUTO_TEST_CASE(a_heartbeat_tells_what_was_cancelled) {
  at.enqueue_many(2);
  const auto jobs = one.claim_all();
  const std::vector ids{jobs[0].id, jobs[1].id};
  BOOST_TEST(one.beat(ids).cancelled.empty());
  at.cancel(ids[1]);
  const auto pulse = one.beat(ids);
  BOOST_TEST((pulse.cancelled == std::vector{ids[1]}));
  BOOST_TEST(pulse.lost.empty());
  BOOST_TEST((one.finish(jobs[1], failed("stopped")) == work_fate::cancelled));
  BOOST_TEST(one.beat(std::vector{ids[0]}).cancelled.empty());
}

BOOST_AUTO_TEST_CASE(what_a_worker_was_never_told_of_goes_back) {
  at.enqueue_many(3);
  const auto jobs = one.claim_all();
  const std::vector known{jobs[0].id};
  at.cancel(jobs[1].id);
  BOOST_TEST(one.beat(known).put_back.empty()); // the answer may be on its way
  make_leases_old();
  BOOST_TEST(one.beat().put_back.empty()); // it does not say
  const auto pulse = one.beat(known);
  BOOST_TEST((pulse.put_back == std::vector{jobs[2].id}));
  BOOST_TEST(pulse.effects.next_due.has_value());
  at.promote();
  const auto again = two.claim().jobs;
  BOOST_REQUIRE_EQUAL(again.size(), 1U);
  BOOST_TEST(again[0].id.value == jobs[2].id.value);
  BOOST_TEST(again[0].attempt == 1);
  BOOST_TEST((one.finish(jobs[2]) == work_fate::fenced));
  BOOST_TEST((one.finish(jobs[0]) == work_fate::done));
  BOOST_TEST((two.finish(again[0]) == work_fate::done));
  BOOST_TEST(leases() == 0);
}

BOOST_AUTO_TEST_CASE(who_leaves_gives_back_what_it_holds_at_no_cost) {
  at.enqueue_many(2);
  const auto jobs = one.claim_all();
  one.finish(jobs[0]);
  BOOST_TEST((one.leave().put_back == std::vector{jobs[1].id}));
  BOOST_CHECK_EXCEPTION(one.leave(), refused, is_gone);
  at.promote();
  BOOST_TEST(two.claim().jobs.at(0).attempt == 1);
  BOOST_TEST(count("attempt") == 1);
  const auto state =
      database.value("select ended_at is not null and heartbeat_at = '-infinity' from troupe.node "
                     "where id = "
                     + std::to_string(one.session.node.value));
  BOOST_TEST(state == "t");
}

BOOST_AUTO_TEST_CASE(a_claim_and_a_farewell_do_not_pass_each_other) {
  at.enqueue();
  at.begin();
  BOOST_REQUIRE_EQUAL(one.claim().jobs.size(), 1U);
  other.send(db::leave_worker_query({one.session}));
  BOOST_REQUIRE(other.waits(database));
  at.commit();
  BOOST_TEST(db::decode_left_worker(std::get<db::result>(other.later())).put_back.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_worker_that_is_to_be_quiet_gets_no_more) {
  const auto steer = [&](const worker& who, bool terminate) {
    at.ask(db::steer_worker_query({who.session.node, terminate, {"ada", 5, "r-1"}}));
  };
  at.enqueue_many(2);
  const auto job = one.claim(1).jobs.at(0);
  BOOST_TEST((one.beat().wanted == work_wish::run));
  steer(one, false);
  BOOST_TEST((one.beat().wanted == work_wish::quiet));
  BOOST_TEST(one.claim().jobs.empty());
  BOOST_TEST(one.claim().quiet);
  BOOST_TEST(two.claim().jobs.size() == 1U);
  BOOST_TEST(!two.claim().quiet); // there is none
  BOOST_TEST((one.finish(job) == work_fate::done));
  steer(one, true);
  steer(one, false);
  BOOST_TEST((one.beat().wanted == work_wish::terminate));
  BOOST_TEST(database.value("select string_agg(action || ' ' || subject, ',' order by id) from "
                            "troupe.audit where id <= 2")
             == "worker.quiet " + std::to_string(one.session.node.value) + ",worker.terminate "
                    + std::to_string(one.session.node.value));
  worker engine{at};
  engine.session.node = at.join("engine");
  BOOST_CHECK_EXCEPTION(steer(engine, false), refused, is_not_found);
  two.leave();
  BOOST_CHECK_EXCEPTION(steer(two, true), refused, is_not_found);
}

BOOST_AUTO_TEST_CASE(a_claim_that_meets_the_wish_to_be_quiet_knows_of_it) {
  at.enqueue();
  at.begin();
  at.ask(db::drain_node_query({"w"}));
  const claim_queue ask{one.session, "default", 1};
  other.send(db::claim_queue_query(ask));
  BOOST_REQUIRE(other.waits(database));
  at.commit();
  const auto answer = other.later();
  BOOST_REQUIRE(std::holds_alternative<db::result>(answer));
  const auto got = db::decode_claimed_work(std::get<db::result>(answer), ask);
  BOOST_TEST(got.jobs.empty());
  BOOST_TEST(got.quiet); // and so the job is for another one
}

BOOST_AUTO_TEST_CASE(only_so_much_is_kept_of_what_an_attempt_says) {
  at.enqueue_many(2);
  const auto jobs = one.claim_all();
  const run_key first{jobs[0].lease, jobs[0].id, 1};
  const run_key second{jobs[1].lease, jobs[1].id, 1};
  auto told = one.report({{{first, 10, "a"}, {first, 20, "b"}},
                          {{first, line_level::warn, "1"}, {second, line_level::info, "2"}}});
  BOOST_TEST(told.fenced.empty());
  BOOST_TEST(told.dropped == 0);
  BOOST_TEST(at.get(jobs[0].id).progress->message == "b");
  record_reports many;
  for (int i = 0; i < 1'000; ++i)
    many.lines.push_back({first, line_level::info, "x"});
  for (int i = 0; i < 10; ++i)
    told = one.report(many);
  BOOST_TEST(told.dropped == 1);
  BOOST_TEST(one.report({{}, {{second, line_level::info, "3"}}}).dropped == 0);
  record_reports long_ones;
  for (int i = 0; i < 200; ++i)
    long_ones.lines.push_back({second, line_level::info, std::string(8192, 'y')});
  BOOST_TEST(one.report(long_ones).dropped == 200 - 127);
  told = two.report({{{first, 90, "z"}}, {{second, line_level::info, "4"}}});
  BOOST_TEST(told.fenced.size() == 2U);
  BOOST_TEST(at.get(jobs[0].id).progress->message == "b");
}

BOOST_AUTO_TEST_CASE(an_end_in_a_limited_queue_makes_room_and_says_so) {
  at.limit(1);
  at.enqueue_many(2);
  const auto job = one.claim().jobs.at(0);
  BOOST_TEST(two.claim().jobs.empty());
  const auto told = one.finish({{job.lease, job.id, 1, completed()}});
  BOOST_TEST((told.effects.steered == std::vector<std::string>{"default"}));
  BOOST_TEST(two.claim().jobs.size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
