// Workers by HTTP in the database: who may speak for one, how each outcome is fenced by itself,
// what a lost answer leaves behind, and random play of workers that die, beside a ledger of what
// each was told. TROUPE_SEED repeats.
#include "db/report_statements.hpp"
#include "db/work_statements.hpp"
#include "tests/db/desk.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

const std::string secret(32, 's');

/// A worker as the server speaks for it.
struct worker {
  explicit worker(desk& through, std::string hash = secret) : by(&through) {
    session.hash = std::move(hash);
  }

  void join(std::chrono::milliseconds lease = 15s, std::vector<std::string> queues = {"default"}) {
    join_worker ask{session, "w", std::move(queues)};
    ask.kinds = {"noop"};
    ask.slots = 4;
    ask.version = "1.2";
    ask.lease = lease;
    session.node = db::decode_joined_worker(by->ask(db::join_worker_query(ask))).node;
  }
  claimed_work claim(int limit = 100, const std::string& queue = "default") const {
    const claim_queue ask{session, queue, limit};
    return db::decode_claimed_work(by->ask(db::claim_queue_query(ask)), ask);
  }
  /// Until nothing comes: a claim empties one lane at most.
  std::vector<claimed_job> claim_all(int limit = 100) const {
    std::vector<claimed_job> all;
    for (;;) {
      const auto some = claim(limit).jobs;
      if (some.empty())
        return all;
      all.insert(all.end(), some.begin(), some.end());
    }
  }
  finished_work finish(std::vector<ended_work> runs) const {
    return db::decode_finished_work(by->ask(db::finish_work_query({session, std::move(runs)})));
  }
  work_fate finish(const claimed_job& job, job_result result = completed()) const {
    return finish({{job.lease, job.id, job.attempt, std::move(result)}}).fates.at(0);
  }
  work_pulse beat(std::optional<std::vector<job_id>> jobs = {}) const {
    return db::decode_work_pulse(by->ask(db::beat_worker_query({session, std::move(jobs)})));
  }
  reported_work report(record_reports told) const {
    return db::decode_reported_work(by->ask(db::report_work_query({session, std::move(told)})));
  }
  left_worker leave() const {
    return db::decode_left_worker(by->ask(db::leave_worker_query({session})));
  }

  desk* by;
  work_session session;
};

bool is_gone(const refused& e) {
  return e.why.code == errc::fenced;
}

struct two_workers : jobs_database {
  desk other{database.url()};
  worker one{at};
  worker two{other, std::string(32, 't')};
  two_workers() {
    one.join();
    two.join();
  }
  void make_leases_old() const {
    database.exec("update troupe.lease set taken_at = taken_at - interval '1 minute'");
  }
  /// Its lease runs out and another node takes its jobs.
  rescued_jobs lose(const worker& who) {
    make_old(who.session.node);
    return at.rescue(who.session.node);
  }
  int leases() const { return count("lease"); }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(work, two_workers)

BOOST_AUTO_TEST_CASE(a_job_comes_with_all_that_was_said_of_it) {
  const auto id = at.enqueue(job_spec{.kind = "noop",
                                      .args = R"({"a":1})",
                                      .priority = 3,
                                      .max_attempts = 7,
                                      .timeout = 5s,
                                      .tags = {"x", "y"},
                                      .limit_key = "k"});
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
  patient.join(60s);
  at.join("engine");
  const auto silent = [&](const worker& who, const std::string& how_long) {
    database.exec("update troupe.node set heartbeat_at = heartbeat_at - interval '" + how_long
                  + "' where id = " + std::to_string(who.session.node.value));
    const auto dead = at.beat().dead;
    return std::count(dead.begin(), dead.end(), who.session.node);
  };
  BOOST_TEST(silent(patient, "55 s") == 0);
  BOOST_TEST(at.why(at.enqueue()).nodes == 4);
  BOOST_TEST(silent(patient, "6 s") == 1);
  patient.beat();
  BOOST_TEST(silent(patient, "55 s") == 0);
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
  BOOST_TEST(two.claim().jobs.size() == 1U);
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

/// Four workers claim, finish, tell things twice, lose answers, leave and die. A ledger of each job
/// says which attempt is whose; `done` may be told to that one only, and once.
BOOST_AUTO_TEST_CASE(at_random_no_two_workers_end_the_same_attempt) {
  const char* given = std::getenv("TROUPE_SEED"); // NOLINT(concurrency-mt-unsafe)
  const auto seed = given != nullptr ? std::stoul(given) : std::random_device{}();
  BOOST_TEST_MESSAGE("TROUPE_SEED=" << seed);
  std::minstd_rand random{static_cast<std::minstd_rand::result_type>(seed)};
  const auto chance = [&](unsigned of) { return random() % of == 0; };

  struct player {
    worker who;
    std::vector<claimed_job> holds;
    std::vector<std::pair<claimed_job, job_result>> told;
  };
  std::vector<player> players;
  for (int i = 0; i < 4; ++i) {
    players.push_back(
        {worker{i % 2 == 0 ? at : other, std::string(32, static_cast<char>('a' + i))}, {}, {}});
    players.back().who.join();
  }
  const auto ids = at.enqueue_many(60);
  std::map<std::int64_t, std::pair<int, int>> owner; // job: attempt and player
  std::map<std::int64_t, int> completions;
  const auto forget = [&](player& p) {
    p.holds.clear();
    p.told.clear();
  };
  for (int step = 0; step < 600; ++step) {
    const auto nth = random() % players.size();
    auto& p = players[nth];
    switch (random() % 8) {
    case 0:
    case 1:
      for (const auto& job : p.who.claim(1 + static_cast<int>(random() % 4)).jobs) {
        BOOST_REQUIRE_MESSAGE(!owner.contains(job.id.value) && completions[job.id.value] == 0,
                              "job " << job.id.value << " was handed out twice; seed " << seed);
        owner[job.id.value] = {job.attempt, static_cast<int>(nth)};
        if (!chance(10)) // else the answer is lost
          p.holds.push_back(job);
      }
      break;
    case 2:
    case 3:
    case 4: {
      if (p.holds.empty())
        break;
      const auto job = p.holds[random() % p.holds.size()];
      const auto result = chance(4) ? failed("x") : chance(5) ? snoozed(0ms) : completed();
      const auto fate = p.who.finish(job, result);
      const auto entry = owner.find(job.id.value);
      const bool own =
          entry != owner.end() && entry->second == std::pair{job.attempt, static_cast<int>(nth)};
      BOOST_REQUIRE_MESSAGE((fate == work_fate::done) == own,
                            "job " << job.id.value << " step " << step << "; seed " << seed);
      std::erase_if(p.holds, [&](const auto& held) { return held.id == job.id; });
      if (own) {
        owner.erase(entry);
        completions[job.id.value] += result.kind == job_result::verdict::completed ? 1 : 0;
        if (result.kind == job_result::verdict::completed)
          p.told.emplace_back(job, result);
      }
      break;
    }
    case 5:
      if (!p.told.empty()) {
        const auto& [job, result] = p.told[random() % p.told.size()];
        BOOST_REQUIRE((p.who.finish(job, result) == work_fate::done));
        BOOST_REQUIRE((p.who.finish(job, failed("y")) == work_fate::fenced));
      }
      break;
    case 6: {
      make_leases_old();
      std::vector<job_id> named;
      for (const auto& job : p.holds)
        named.push_back(job.id);
      for (const auto id : p.who.beat(named).put_back) {
        BOOST_REQUIRE_EQUAL(owner.at(id.value).second, static_cast<int>(nth));
        owner.erase(id.value);
      }
      break;
    }
    default:
      if (chance(3)) {
        const bool dies = chance(2);
        if (dies)
          static_cast<void>(lose(p.who));
        else
          p.who.leave();
        std::erase_if(owner,
                      [&](const auto& o) { return o.second.second == static_cast<int>(nth); });
        const auto left = p.holds;
        p.who.join();
        for (const auto& job : left)
          BOOST_REQUIRE((p.who.finish(job) == work_fate::fenced));
        forget(p);
      }
    }
    let_time_pass();
    at.promote();
  }
  for (auto& p : players)
    p.who.leave();
  BOOST_TEST(leases() == 0);
  for (const auto id : ids) {
    BOOST_TEST(completions[id.value] <= 1);
    BOOST_TEST((at.state(id) == "completed") == (completions[id.value] == 1), id.value);
  }
}

BOOST_AUTO_TEST_SUITE_END()
