// Retry policies of jobs: stored, checked, shown, handed to whoever runs the job, and followed by
// SQL workers just as by the engine.
#include "tests/db/keyed_desk.hpp"

#include <random>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct with_policies : jobs_database {
  static job_spec job(std::optional<retry_policy> policy, std::string queue = "default") {
    return {.kind = "noop", .queue = std::move(queue), .retry = std::move(policy)};
  }
  std::string sql(const std::string& text) { return database.value("select (" + text + ")::text"); }
  /// The sentence of the refusal.
  std::string wrong(const std::string& policy) {
    try {
      at.ask(db::make_query("select troupe.enqueue('k', retry => '" + policy + "')"));
    } catch (const refused& e) {
      BOOST_TEST(is_invalid(e));
      return e.what();
    }
    return "accepted";
  }
  /// Whole seconds from the end of the job's last attempt until it is due. It ended when the
  /// statement that said so began, and the pause is from a little later on.
  std::string pause_of(job_id id) {
    return database.value("select floor(extract(epoch from d.due_at - a.finished_at))::text from "
                          "troupe.deferred d join troupe.attempt a using (job_id) where job_id = "
                          + std::to_string(id.value) + " order by a.attempt desc limit 1");
  }
  /// As a worker of plain SQL ends the one run.
  std::string fail_by_sql(const claimed_jobs& of, const std::string& more = {}) {
    const auto& run = *of.jobs.at(0);
    return sql("troupe.finish(" + std::to_string(at.node.value) + ", "
               + std::to_string(of.lease.value) + ", " + std::to_string(run.id.value) + ", "
               + std::to_string(run.attempt) + ", 'failed', error => 'no'" + more + ")");
  }
};

const std::vector<retry_policy> every_policy{retry_policy{},
                                             retry_policy::exponential({250ms, 10min, 0}),
                                             retry_policy::exponential({0ms, 0ms, 100}),
                                             retry_policy::fixed(5s),
                                             retry_policy::fixed(0s),
                                             retry_policy::list({0s, 1s, 5min}),
                                             retry_policy::none()};

} // namespace

BOOST_FIXTURE_TEST_SUITE(retry_policies, with_policies)

BOOST_AUTO_TEST_CASE(each_policy_comes_to_the_run_and_is_shown_as_it_was_given) {
  for (const auto& policy : every_policy) {
    const auto id = at.enqueue(job(policy));
    const auto plain = at.enqueue();
    BOOST_TEST((at.get(id).retry == policy), to_json(policy));
    BOOST_TEST(!at.get(plain).retry.has_value());
    const auto batches = at.drain();
    std::size_t met = 0;
    for (const auto& batch : batches)
      for (const auto& run : batch.jobs) {
        ++met;
        BOOST_TEST((run->retry == (run->id == id ? std::optional{policy} : std::nullopt)));
      }
    BOOST_TEST(met == 2U);
    for (const auto& batch : batches)
      at.finish(batch);
  }
}

BOOST_AUTO_TEST_CASE(it_comes_with_jobs_that_wait_with_adopted_ones_and_with_those_at_once) {
  const auto policy = retry_policy::list({1s, 2s});
  auto later = job(policy);
  later.delay = 1h;
  const auto waits = at.enqueue(later);
  let_time_pass();
  at.promote();
  const auto batch = at.claim_one();
  BOOST_TEST(batch.jobs.at(0)->id == waits);
  BOOST_TEST((batch.jobs.at(0)->retry == policy));
  const auto adopted = at.adopt(batch.lease);
  BOOST_TEST((adopted.jobs.at(0)->retry == policy));
  at.finish(batch);
  const auto here = at.enqueue_here({job(policy), job({})});
  BOOST_REQUIRE_EQUAL(here.claimed.jobs.size(), 2U);
  BOOST_TEST((here.claimed.jobs.at(0)->retry == policy));
  BOOST_TEST(!here.claimed.jobs.at(1)->retry.has_value());
  BOOST_TEST((at.get(here.stored.ids.at(0)).retry == policy));
  at.pause();
  const auto as_ever = at.enqueue_here({job(policy)});
  BOOST_TEST(as_ever.claimed.jobs.empty());
  BOOST_TEST((at.get(as_ever.stored.ids.at(0)).retry == policy));
}

BOOST_AUTO_TEST_CASE(it_comes_with_jobs_of_limited_keys) {
  at.limit_keys(1);
  auto spec = job(retry_policy::none());
  spec.limit_key = "acme";
  at.enqueue({spec, spec});
  const auto first = at.claim_one();
  BOOST_TEST((first.jobs.at(0)->retry == retry_policy::none()));
  BOOST_TEST(at.claim().jobs.empty());
  at.finish(first);
  BOOST_TEST((at.claim_one().jobs.at(0)->retry == retry_policy::none()));
}

BOOST_AUTO_TEST_CASE(sql_callers_say_it_as_json_and_see_it) {
  const auto id = job_id{
      std::stoll(sql(R"(troupe.enqueue('noop', retry => '{"policy":"fixed","delay_ms":5000}'))"))};
  BOOST_TEST((at.get(id).retry == retry_policy::fixed(5s)));
  BOOST_TEST(database.value("select retry ->> 'delay_ms' from troupe.jobs where id = "
                            + std::to_string(id.value))
             == "5000");
  const auto half = job_id{std::stoll(
      sql(R"(troupe.enqueue('noop', retry => '{"policy":"exponential","base_ms":7}'))"))};
  BOOST_TEST((at.get(half).retry == retry_policy::exponential({7ms, 6h})));
  BOOST_TEST(sql("troupe.enqueue_many(array['a', 'b'], array['q', 'q'], "
                 "array['{}', '{}']::jsonb[], array[0, 0]::smallint[], "
                 R"(p_retries => array['{"policy":"none"}', null]::jsonb[]))")
                 .size()
             > 2U);
  BOOST_TEST(
      database.value("select count(*) from troupe.job where queue = 'q' and retry is not null")
      == "1");
  // As callers of before this parameter call it.
  BOOST_TEST(sql("troupe.enqueue_many(array['a'], array['q'], array['{}']::jsonb[], "
                 "array[0]::smallint[], null, null, null, null, null, null)")
                 .size()
             > 2U);
}

BOOST_AUTO_TEST_CASE(what_is_no_policy_is_refused_with_the_field_at_fault) {
  const std::vector<std::pair<std::string, std::string>> bad{
      {"[]", "retry must be an object"},
      {"null", "retry must be an object"},
      {"{}", "retry.policy must be exponential, fixed, list or none"},
      {R"({"policy":7})", "retry.policy must be exponential, fixed, list or none"},
      {R"({"policy":"often"})", "retry.policy must be exponential, fixed, list or none"},
      {R"({"policy":"fixed"})", "retry.delay_ms: is required"},
      {R"({"policy":"fixed","delay_ms":-1})",
       "retry.delay_ms: must be an integer from 0 to 315360000000"},
      {R"({"policy":"fixed","delay_ms":"5"})",
       "retry.delay_ms: must be an integer from 0 to 315360000000"},
      {R"({"policy":"fixed","delay_ms":1.5})",
       "retry.delay_ms: must be an integer from 0 to 315360000000"},
      {R"({"policy":"fixed","delay_ms":315360000001})",
       "retry.delay_ms: must be an integer from 0 to 315360000000"},
      {R"({"policy":"fixed","delay_ms":5,"base_ms":5})",
       "retry.base_ms: no such field; fixed has policy, delay_ms"},
      {R"({"policy":"list"})", "retry.delays_ms: is required"},
      {R"({"policy":"list","delays_ms":[]})",
       "retry.delays_ms: must be 1 to 32 integers from 0 to 315360000000"},
      {R"({"policy":"list","delays_ms":7})",
       "retry.delays_ms: must be 1 to 32 integers from 0 to 315360000000"},
      {R"({"policy":"list","delays_ms":[1,"2"]})",
       "retry.delays_ms: must be 1 to 32 integers from 0 to 315360000000"},
      {R"({"policy":"exponential","jitter_percent":101})",
       "retry.jitter_percent: must be an integer from 0 to 100"},
      {R"({"policy":"exponential","base_ms":5000,"max_ms":4999})",
       "retry.max_ms: must not be less than base_ms"},
      {R"({"policy":"exponential","base_ms":21600001})",
       "retry.max_ms: must not be less than base_ms"},
      {R"({"policy":"none","delay_ms":1})", "retry.delay_ms: no such field; none has policy"}};
  for (const auto& [policy, sentence] : bad) {
    BOOST_TEST(wrong(policy) == sentence, policy);
    // The others that store check it, too.
    for (const auto& call :
         {std::string{"troupe.enqueue_many(array['a'], array['q'], array['{}']::jsonb[], "
                      "array[0]::smallint[], p_retries => "},
          std::string{"troupe.enqueue_keyed(array['a'], array['q'], array['{}']::jsonb[], "
                      "array[0]::smallint[], null, null, null, null, null, null, p_retries => "}})
      BOOST_CHECK_EXCEPTION(
          at.ask(db::make_query("select " + call + "array['" + policy + "']::jsonb[])")), refused,
          is_invalid);
  }
  BOOST_CHECK_EXCEPTION(
      at.ask(
          db::make_query("select troupe.enqueue_many(array['a', 'b', 'c'], array['q', 'q', 'q'], "
                         "array['{}', '{}', '{}']::jsonb[], array[0, 0, 0]::smallint[], "
                         R"(p_retries => array[null, '{"policy":"none"}', '{}']::jsonb[]))")),
      refused, is_invalid);
  BOOST_TEST(count("job") == 0);
}

BOOST_AUTO_TEST_CASE(a_replaced_job_has_the_new_policy) {
  auto spec = unique_job(on_conflict::replace);
  spec.retry = retry_policy::fixed(1s);
  const auto id = put(at, spec).id;
  spec.retry = retry_policy::none();
  BOOST_TEST(put(at, spec).fate == enqueue_fate::replaced);
  BOOST_TEST((at.get(id).retry == retry_policy::none()));
  spec.retry.reset();
  BOOST_TEST(put(at, spec).fate == enqueue_fate::replaced);
  BOOST_TEST(!at.get(id).retry.has_value());
  // Within one request, the last one says it.
  auto first = unique_job(on_conflict::replace, R"({"n":1})");
  first.unique->args = true;
  auto second = first;
  second.retry = retry_policy::fixed(9s);
  const auto both = put(at, enqueue_jobs{{first, second}});
  BOOST_TEST(both.ids.at(0) == both.ids.at(1));
  BOOST_TEST((at.get(both.ids.at(0)).retry == retry_policy::fixed(9s)));
}

BOOST_AUTO_TEST_CASE(the_policy_belongs_to_a_request_with_a_key) {
  const auto ask = [&](std::optional<retry_policy> policy) {
    return put(at, enqueue_jobs{{job(std::move(policy))}, "key"}).use;
  };
  BOOST_TEST(ask(retry_policy::fixed(1s)) == key_use::first);
  BOOST_TEST(ask(retry_policy::fixed(1s)) == key_use::replayed);
  BOOST_TEST(ask(retry_policy::fixed(2s)) == key_use::refused);
  BOOST_TEST(ask(std::nullopt) == key_use::refused);
}

BOOST_AUTO_TEST_CASE(a_job_that_is_moved_to_another_table_keeps_its_policy) {
  database.exec("select setval('troupe.job_id_seq', 10000000)");
  database.exec("select troupe.make_partitions(1000, 5)");
  database.exec("delete from troupe.partition where what = 'jobs' and low < 10000001");
  const auto policy = retry_policy::list({1s, 1min});
  const auto waits = at.enqueue(job(policy, "waits"));
  at.enqueue_many(100);
  for (const auto& batch : at.drain())
    at.finish(batch);
  database.exec("select setval('troupe.job_id_seq', 10001500)");
  database.exec("update troupe.attempt set finished_at = now() - interval '9 days'");
  database.exec("update troupe.job set created_at = now() - interval '9 days'");
  std::string step;
  while (step != "moved") {
    step = at.expire().step;
    BOOST_REQUIRE(step != "");
  }
  BOOST_TEST((at.get(waits).retry == policy));
  BOOST_TEST((at.claim_one("waits").jobs.at(0)->retry == policy));
}

BOOST_AUTO_TEST_CASE(the_databases_pauses_are_those_of_the_engine) {
  std::mt19937_64 random{20261128};
  const auto any = [&](std::int64_t most) {
    return std::chrono::milliseconds{std::uniform_int_distribution<std::int64_t>{0, most}(random)};
  };
  constexpr std::chrono::milliseconds longest = limits::max_delay;
  auto policies = every_policy;
  for (int i = 0; i < 60; ++i) {
    const auto base = any(i % 2 == 0 ? 5000 : longest.count());
    policies.push_back(retry_policy::exponential(
        {base, std::max(base, any(longest.count())), static_cast<int>(any(100).count())}));
    retry_policy::pauses pauses(1 + random() % limits::retry_pauses);
    for (auto& pause : pauses)
      pause = any(longest.count());
    policies.push_back(retry_policy::list(pauses));
  }
  for (const auto& policy : policies)
    for (const int attempt : {1, 2, 3, static_cast<int>(random() % 1000), 1000}) {
      const auto number = static_cast<std::uint32_t>(random());
      const auto ours = policy.after(attempt, number);
      const auto theirs =
          database.value("select troupe.retry_pause('" + to_json(policy) + "', "
                         + std::to_string(attempt) + ", " + std::to_string(number) + ")::text");
      BOOST_REQUIRE_MESSAGE(theirs == (ours ? std::to_string(ours->count()) : "NULL"),
                            to_json(policy)
                                << " after " << attempt << " with " << number << ": " << theirs);
    }
}

BOOST_AUTO_TEST_CASE(a_worker_of_plain_sql_follows_the_jobs_policy) {
  const auto fixed = at.enqueue(job(retry_policy::fixed(1h)));
  BOOST_TEST(fail_by_sql(at.claim_one()) == "true");
  BOOST_TEST(at.state(fixed) == "retryable");
  BOOST_TEST(pause_of(fixed) == "3600");

  const auto list = at.enqueue(job(retry_policy::list({100s, 200s})));
  for (const auto* pause : {"100", "200", "200"}) {
    BOOST_TEST(fail_by_sql(at.claim_one()) == "true");
    BOOST_TEST(pause_of(list) == pause);
    database.exec("update troupe.deferred set due_at = now() where job_id = "
                  + std::to_string(list.value));
    at.promote();
  }
  at.cancel(list);

  const auto never = at.enqueue(job(retry_policy::none(), "own"));
  BOOST_TEST(fail_by_sql(at.claim_one("own")) == "true");
  BOOST_TEST(at.state(never) == "discarded");

  const auto told = at.enqueue(job(retry_policy::none(), "own"));
  BOOST_TEST(fail_by_sql(at.claim_one("own"), ", retry_ms => 50000") == "true");
  BOOST_TEST(at.state(told) == "retryable");
  BOOST_TEST(pause_of(told) == "50");

  const auto plain = at.enqueue(job({}, "plain"));
  BOOST_TEST(fail_by_sql(at.claim_one("plain")) == "true");
  BOOST_TEST(pause_of(plain) == "1");
}

BOOST_AUTO_TEST_CASE(a_lost_attempt_is_no_failure_and_follows_no_policy) {
  const auto id = at.enqueue(job(retry_policy::none()));
  desk dead{database.url()};
  dead.claim_one();
  make_old(dead.node);
  BOOST_TEST(at.rescue(dead.node).count == 1);
  const auto again = at.claim_one();
  BOOST_TEST(again.jobs.at(0)->id == id);
  BOOST_TEST(again.jobs.at(0)->attempt == 2);
  BOOST_TEST((again.jobs.at(0)->retry == retry_policy::none()));
}

BOOST_AUTO_TEST_SUITE_END()
