// Unique jobs, one statement at a time and two sessions at once: who is in whose way, what becomes
// of the second, and that a replaced job is handed out once, as the last one wanted it.
#include "tests/db/keyed_desk.hpp"

#include <array>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct unique_desks : jobs_database {
  desk other{database.url()};

  /// A unique job, brought into a state.
  job_id in_state(job_state wanted, job_spec job = unique_job()) {
    if (wanted == job_state::scheduled)
      job.delay = 1h;
    const auto id = put(at, job).id;
    if (wanted == job_state::cancelled)
      at.cancel(id);
    if (wanted == job_state::available || wanted == job_state::scheduled
        || wanted == job_state::cancelled)
      return id;
    lease = at.claim_one();
    if (wanted == job_state::completed)
      at.finish(lease);
    else if (wanted == job_state::discarded)
      at.finish(lease, discarded("x"));
    else if (wanted == job_state::retryable)
      at.finish(lease, failed("x"));
    return id;
  }
  void start_anew() {
    database.exec(
        "truncate troupe.job, troupe.ready, troupe.attempt, troupe.deferred, troupe.lease, "
        "troupe.revoked, troupe.unique_key, troupe.unique_job");
  }
  claimed_jobs lease;
};

constexpr std::array every_state{job_state::scheduled, job_state::available, job_state::running,
                                 job_state::retryable, job_state::completed, job_state::cancelled,
                                 job_state::discarded};

bool is_waiting(job_state state) {
  return state == job_state::scheduled || state == job_state::available
         || state == job_state::retryable;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(unique_jobs, unique_desks)

BOOST_AUTO_TEST_CASE(in_every_state_the_second_job_meets_what_its_rule_says) {
  for (const auto state : every_state)
    for (const auto how : {on_conflict::reject, on_conflict::existing, on_conflict::replace}) {
      start_anew();
      const auto first = in_state(state);
      const auto second = put(at, unique_job(how, R"({"n":2})"));
      BOOST_TEST_CONTEXT(state << " " << to_string(how)) {
        if (is_final(state)) {
          BOOST_TEST(second.fate == enqueue_fate::created);
          BOOST_TEST(second.id > first);
          continue;
        }
        const auto wanted = how == on_conflict::reject ? enqueue_fate::rejected
                            : how == on_conflict::replace && is_waiting(state)
                                ? enqueue_fate::replaced
                                : enqueue_fate::existing;
        BOOST_TEST(second.fate == wanted);
        BOOST_TEST(second.id == first);
        BOOST_TEST(count("job") == 1);
        BOOST_TEST(at.get(first).args == (wanted == enqueue_fate::replaced ? R"({"n": 2})" : "{}"));
        if (wanted != enqueue_fate::replaced)
          BOOST_TEST(at.get(first).state == state);
      }
    }
}

BOOST_AUTO_TEST_CASE(final_states_are_in_the_way_when_the_rule_names_them) {
  for (const auto state : {job_state::completed, job_state::cancelled, job_state::discarded}) {
    start_anew();
    const auto first = in_state(state);
    auto careful = unique_job();
    careful.unique->states = {job_state::available, state};
    const auto second = put(at, careful);
    BOOST_TEST(second.fate == enqueue_fate::rejected);
    BOOST_TEST(second.id == first);
    careful.unique->states = {job_state::available, job_state::running};
    BOOST_TEST(put(at, careful).fate == enqueue_fate::created);
  }
}

BOOST_AUTO_TEST_CASE(a_key_is_made_of_what_the_rule_says_and_nothing_else) {
  const auto with = [](const std::string& queue, const std::string& args, unique_rule rule) {
    return job_spec{.kind = "only", .queue = queue, .args = args, .unique = std::move(rule)};
  };
  const auto made = enqueue_fate::created;
  const auto refused_one = enqueue_fate::rejected;
  BOOST_TEST(put(at, with("a", "{}", {})).fate == made);
  BOOST_TEST(put(at, with("b", R"({"x":1})", {})).fate == refused_one);
  BOOST_TEST(put(at, with("a", "{}", {.queue = true})).fate == made);
  BOOST_TEST(put(at, with("a", R"({"x":1})", {.queue = true})).fate == refused_one);
  BOOST_TEST(put(at, with("b", "{}", {.queue = true})).fate == made);
  BOOST_TEST(put(at, with("a", R"({"x":1,"y":2})", {.args = true})).fate == made);
  BOOST_TEST(put(at, with("b", R"({ "y" : 2, "x" : 1 })", {.args = true})).fate == refused_one);
  BOOST_TEST(put(at, with("b", R"({"x":1,"y":3})", {.args = true})).fate == made);
  BOOST_TEST(put(at, with("b", R"({"x":1,"y":3})", {.queue = true, .args = true})).fate == made);
  BOOST_TEST(put(at, with("a", R"({"x":1,"y":2})", {.fields = {"x"}})).fate == made);
  BOOST_TEST(put(at, with("a", R"({"x":1,"y":4})", {.fields = {"x"}})).fate == refused_one);
  BOOST_TEST(put(at, with("a", R"({"x":1,"y":4})", {.fields = {"x", "y"}})).fate == made);
  BOOST_TEST(put(at, with("a", R"({"y":4,"x":1,"z":9})", {.fields = {"y", "x", "y"}})).fate
             == refused_one);
  BOOST_TEST(put(at, with("a", R"({"x":null})", {.fields = {"x"}})).fate == made);
  BOOST_TEST(put(at, with("a", "{}", {.fields = {"x"}})).fate == made);
  BOOST_TEST(put(at, with("a", R"([1])", {.fields = {"x"}})).fate == refused_one);
  BOOST_TEST(put(at, with("a", R"({"a\"\\\n":1})", {.fields = {"a\"\\\n"}})).fate == made);
  BOOST_TEST(put(at, with("a", R"({"a\"\\\n":1,"b":2})", {.fields = {"a\"\\\n"}})).fate
             == refused_one);
  BOOST_TEST(put(at, job_spec{.kind = "two", .unique = unique_rule{}}).fate == made);
  BOOST_TEST(put(at, job_spec{.kind = "only"}).fate == made);
}

BOOST_AUTO_TEST_CASE(a_period_is_a_bucket_of_the_databases_clock) {
  const auto digest = [&](const std::string& time, int period) {
    return database.value("select troupe.unique_digest('k', 'q', '{}', '{\"period_ms\":"
                          + std::to_string(period) + "}', '" + time + "')");
  };
  BOOST_TEST(digest("2026-01-01 10:00:00Z", 60000) == digest("2026-01-01 10:00:59.999999Z", 60000));
  BOOST_TEST(digest("2026-01-01 10:00:00Z", 60000) != digest("2026-01-01 10:01:00Z", 60000));
  BOOST_TEST(digest("2026-01-01 09:59:59.999999Z", 60000) != digest("2026-01-01 10:00:00Z", 60000));
  BOOST_TEST(digest("2026-01-01 10:00:00Z", 60000) != digest("2026-01-01 10:00:00Z", 30000));
  BOOST_TEST(database.value("select troupe.unique_end('{\"period_ms\":60000}', "
                            "'2026-01-01 10:00:00Z') = '2026-01-01 10:01:00Z'")
             == "t");
  BOOST_TEST(database.value("select troupe.unique_end('{\"period_ms\":60000}', "
                            "'2026-01-01 10:00:59.999999Z') = '2026-01-01 10:01:00Z'")
             == "t");
  auto job = unique_job();
  job.unique->period = std::chrono::hours{24 * 365};
  BOOST_TEST(put(at, job).fate == enqueue_fate::created);
  BOOST_TEST(put(at, job).fate == enqueue_fate::rejected);
  // Its time over, a retry has nothing to ask for: no new job can have the key.
  const auto id = job_id{1};
  at.cancel(id);
  const auto next = put(at, job).id;
  BOOST_CHECK_EXCEPTION(at.retry(id), refused, is_conflict);
  database.exec("update troupe.unique_job set ends_at = now() - interval '1 second'");
  at.retry(id);
  BOOST_TEST(at.state(id) == "available");
  BOOST_TEST(at.state(next) == "available");
}

BOOST_AUTO_TEST_CASE(jobs_of_one_request_are_in_each_others_way) {
  const auto both = put(at, enqueue_jobs{{unique_job(), {.kind = "plain"}, unique_job()}});
  BOOST_TEST(both.fates
                 == (std::vector{enqueue_fate::none, enqueue_fate::none, enqueue_fate::rejected}),
             boost::test_tools::per_element());
  BOOST_TEST(both.ids.at(2).value == 0);
  BOOST_TEST(count("job") == 0);
  BOOST_TEST(count("unique_key") == 0);
  auto urgent = unique_job(on_conflict::replace, R"({"n":3})");
  urgent.priority = 4;
  urgent.tags = {"t"};
  urgent.timeout = 5s;
  const auto three =
      put(at, enqueue_jobs{{unique_job(), unique_job(on_conflict::existing, "[1]"), urgent}});
  BOOST_TEST(
      three.fates
          == (std::vector{enqueue_fate::created, enqueue_fate::existing, enqueue_fate::replaced}),
      boost::test_tools::per_element());
  BOOST_TEST(three.ids.at(0) == three.ids.at(1));
  BOOST_TEST(three.ids.at(0) == three.ids.at(2));
  const auto job = at.get(three.ids.at(0));
  BOOST_TEST(job.args == R"({"n": 3})");
  BOOST_TEST(job.priority == 4);
  BOOST_TEST((job.tags == std::vector<std::string>{"t"}));
  BOOST_TEST((job.timeout == std::optional<std::chrono::milliseconds>{5s}));
  BOOST_TEST(at.claim_one().jobs.front()->args == R"({"n": 3})");
}

BOOST_AUTO_TEST_CASE(callers_that_share_a_statement_are_refused_one_by_one) {
  const auto old = put(at, job_spec{.kind = "old", .unique = unique_rule{}}).id;
  enqueue_jobs all;
  all.jobs = {unique_job(),
              {.kind = "plain"},
              {.kind = "b", .unique = unique_rule{}},
              {.kind = "old", .unique = unique_rule{}},
              {.kind = "b", .unique = unique_rule{}},
              unique_job(on_conflict::existing),
              unique_job()};
  all.parts = {{2, ""}, {2, ""}, {1, ""}, {1, ""}, {1, ""}};
  const auto told = put(at, all);
  using f = enqueue_fate;
  BOOST_TEST(told.fates
                 == (std::vector{f::created, f::created, f::none, f::rejected, f::created,
                                 f::existing, f::rejected}),
             boost::test_tools::per_element());
  BOOST_TEST(told.ids.at(3) == old);
  BOOST_TEST(told.ids.at(5) == told.ids.at(0));
  BOOST_TEST(told.ids.at(6) == told.ids.at(0));
  BOOST_TEST(told.parts.size() == 5U);
  BOOST_TEST(count("job") == 4);
  BOOST_TEST(count("unique_key") == 3);
  BOOST_TEST(database.value("select count(*) from troupe.unique_key where job_id = 0") == "0");
}

BOOST_AUTO_TEST_CASE(in_a_transaction_of_ones_own_a_rejection_is_an_error_that_names_the_job) {
  const auto first = put(at, unique_job()).id;
  try {
    at.enqueue(unique_job());
    BOOST_FAIL("not refused");
  } catch (const refused& e) {
    BOOST_TEST(is_conflict(e));
    BOOST_TEST(std::string{e.what()}
               == "job " + std::to_string(first.value)
                      + " has the same unique key and is available");
  }
}

BOOST_AUTO_TEST_CASE(a_wrong_rule_is_refused_with_its_field) {
  for (const char* rule :
       {"[]", "1", R"({"args":1})", R"({"args":[]})", R"({"args":[1]})", R"({"args":[""]})",
        R"({"queue":"a"})", R"({"queue":null})", R"({"period_ms":0})", R"({"period_ms":1.5})",
        R"({"period_ms":"1"})", R"({"period_ms":315360000001})", R"({"states":[]})",
        R"({"states":["done"]})", R"({"states":"running"})", R"({"on_conflict":"ignore"})",
        R"({"by_args":true})"})
    BOOST_CHECK_EXCEPTION(at.ask(db::make_query("select troupe.check_unique($1)", db::json{rule})),
                          refused, is_invalid);
  at.ask(db::make_query(
      "select troupe.check_unique($1)",
      db::json{R"({"queue":false,"args":["a"],"period_ms":1e3,"states":["pending"]})"}));
}

// -- replacing

BOOST_AUTO_TEST_CASE(a_replaced_job_is_handed_out_once_and_as_the_last_one_wanted) {
  const std::vector<std::optional<std::chrono::milliseconds>> delays{std::nullopt, 1h};
  for (const auto state : {job_state::available, job_state::scheduled, job_state::retryable})
    for (const auto& delay : delays)
      for (const int priority : {0, 7}) {
        start_anew();
        const auto id = in_state(state);
        auto job = unique_job(on_conflict::replace, R"({"new":true})");
        job.delay = delay;
        job.priority = priority;
        job.max_attempts = 33;
        for (int times = 0; times < 3; ++times)
          BOOST_TEST(put(at, job).fate == enqueue_fate::replaced);
        BOOST_TEST_CONTEXT(state << (delay ? " later " : " now ") << priority) {
          const auto now = at.get(id);
          BOOST_TEST(now.state == (delay ? job_state::scheduled : job_state::available));
          BOOST_TEST(now.priority == priority);
          BOOST_TEST(now.max_attempts == 33);
          BOOST_TEST((now.run_at - now.created_at > 30min) == delay.has_value());
          if (delay) {
            BOOST_TEST(at.drain().empty());
            let_time_pass();
            at.promote();
          }
          const auto given = at.drain();
          BOOST_REQUIRE(given.size() == 1U);
          BOOST_REQUIRE(given[0].jobs.size() == 1U);
          BOOST_TEST(given[0].jobs[0]->id == id);
          BOOST_TEST(given[0].jobs[0]->args == R"({"new": true})");
          at.finish(given[0]);
          BOOST_TEST(at.state(id) == "completed");
          BOOST_TEST(at.drain().empty());
          at.keep_up();
          BOOST_TEST(count("revoked") == 0);
        }
      }
}

BOOST_AUTO_TEST_CASE(a_job_that_is_moved_twice_passes_through_each_of_its_lanes_unseen) {
  const auto id = put(at, unique_job()).id;
  for (const int priority : {5, 0, 5, 0, 3}) {
    auto job = unique_job(on_conflict::replace);
    job.priority = priority;
    BOOST_TEST(put(at, job).id == id);
  }
  const auto given = at.drain();
  BOOST_REQUIRE(given.size() == 1U);
  BOOST_TEST(given[0].jobs.size() == 1U);
  at.finish(given[0], failed("once"));
  BOOST_TEST(at.state(id) == "retryable"); // replacing costs no attempt of those allowed
}

BOOST_AUTO_TEST_CASE(a_claim_that_is_about_to_hand_the_job_out_is_waited_for) {
  const auto id = put(at, unique_job()).id;
  at.join();
  at.begin();
  at.claim_one();
  other.send(db::enqueue_query({{unique_job(on_conflict::replace, "[2]")}}, db::rejections::told));
  BOOST_REQUIRE(other.waits(database));
  at.commit();
  const auto outcome = other.later();
  const auto told = db::decode_enqueued(std::get<db::result>(outcome), {{unique_job()}});
  BOOST_TEST(told.fates.front() == enqueue_fate::existing);
  BOOST_TEST(at.get(id).args == "{}");
}

BOOST_AUTO_TEST_CASE(a_claim_passes_by_a_job_that_is_being_replaced) {
  const auto id = put(at, unique_job()).id;
  at.begin();
  put(at, unique_job(on_conflict::replace, "[2]"));
  BOOST_TEST(other.drain().empty());
  at.commit();
  BOOST_TEST(other.claim_one().jobs.front()->args == "[2]");
  BOOST_TEST(at.state(id) == "running");
}

// -- two sessions

BOOST_AUTO_TEST_CASE(who_comes_second_waits_for_the_firsts_transaction_and_judges_by_its_end) {
  for (const bool kept : {true, false}) {
    start_anew();
    at.begin();
    const auto first = put(at, unique_job()).id;
    other.send(db::enqueue_query({{unique_job()}}, db::rejections::told));
    BOOST_REQUIRE(other.waits(database));
    kept ? at.commit() : at.rollback();
    const auto outcome = other.later();
    const auto told = db::decode_enqueued(std::get<db::result>(outcome), {{unique_job()}});
    BOOST_TEST(told.fates.front() == (kept ? enqueue_fate::rejected : enqueue_fate::created));
    BOOST_TEST((told.ids.front() == first) == kept);
    BOOST_TEST(count("job") == 1);
  }
}

BOOST_AUTO_TEST_CASE(an_old_snapshot_is_refused_where_it_would_be_wrong) {
  const auto id = put(at, unique_job()).id;
  at.cancel(id);
  other.ask(db::make_query("begin isolation level repeatable read"));
  other.ask(db::make_query("select 1"));
  at.retry(id);
  const auto question = db::enqueue_query({{unique_job()}}, db::rejections::told);
  BOOST_CHECK_EXCEPTION(other.ask(question), refused,
                        [](const refused& e) { return e.why.code == errc::retry; });
  other.rollback();
  BOOST_TEST(put(other, unique_job()).fate == enqueue_fate::rejected);
}

// -- what else happens to them

BOOST_AUTO_TEST_CASE(a_retry_takes_the_key_again_or_is_refused) {
  const auto first = in_state(job_state::completed);
  at.retry(first);
  BOOST_TEST(put(at, unique_job()).id == first);
  at.cancel(first);
  const auto second = put(at, unique_job()).id;
  BOOST_TEST(second > first);
  BOOST_CHECK_EXCEPTION(at.retry(first), refused, is_conflict);
  BOOST_TEST(at.state(first) == "cancelled");
  at.cancel(second);
  at.keep_up();
  BOOST_TEST(count("unique_key") == 0);
  at.retry(first);
  BOOST_TEST(put(at, unique_job()).id == first);
  BOOST_CHECK_EXCEPTION(at.retry(second), refused, is_conflict);
}

BOOST_AUTO_TEST_CASE(a_deleted_job_leaves_no_key_behind) {
  const auto first = put(at, unique_job()).id;
  at.remove(first);
  BOOST_TEST(count("unique_key") == 0);
  BOOST_TEST(count("unique_job") == 0);
  const auto second = put(at, unique_job());
  BOOST_TEST(second.fate == enqueue_fate::created);
  database.exec("delete from troupe.job"); // as a dropped partition would
  BOOST_TEST(put(at, unique_job()).fate == enqueue_fate::created);
}

BOOST_AUTO_TEST_CASE(upkeep_forgets_keys_that_are_in_nobodys_way_and_only_those) {
  std::vector<job_spec> jobs;
  for (const char* kind : {"waits", "done", "remembered", "gone", "over"})
    jobs.push_back({.kind = kind, .queue = kind, .unique = unique_rule{}});
  jobs[2].unique->states = {job_state::available, job_state::completed};
  jobs[4].unique->period = 1h;
  const auto ids = put(at, enqueue_jobs{jobs}).ids;
  at.finish(at.claim_one("done"));
  at.finish(at.claim_one("remembered"));
  database.exec("delete from troupe.job where kind = 'gone'");
  database.exec("update troupe.unique_job set ends_at = now() - interval '2 hours' where job_id = "
                + std::to_string(ids[4].value));
  const auto done = at.keep_up();
  BOOST_TEST(done.keys_dropped == 3);
  BOOST_TEST(count("unique_key") == 2);
  BOOST_TEST(count("unique_job") == 4); // a retry may ask for them; not of the one that is gone
  BOOST_TEST(put(at, jobs[0]).fate == enqueue_fate::rejected);
  BOOST_TEST(put(at, jobs[2]).fate == enqueue_fate::rejected);
  BOOST_TEST(at.keep_up().keys_dropped == 0);
}

BOOST_AUTO_TEST_CASE(upkeep_looks_at_so_many_keys_in_one_round_and_comes_around_to_all) {
  std::vector<job_spec> jobs;
  for (int i = 0; i < 300; ++i)
    jobs.push_back({.kind = "k" + std::to_string(i), .unique = unique_rule{}});
  put(at, enqueue_jobs{jobs});
  for (auto& batch : at.drain(100))
    at.finish(batch);
  const auto round = [&] {
    return std::stoi(database.value("select keys_dropped from troupe.forget_keys(40)"));
  };
  BOOST_TEST(round() == 40);
  int rounds = 1;
  while (count("unique_key") > 0 && ++rounds < 100)
    BOOST_TEST(round() <= 40);
  BOOST_TEST(rounds == 8);
}

BOOST_AUTO_TEST_SUITE_END()
