// Requests with a key: asked again they are answered as the first time, whatever happened in
// between.
#include "tests/db/keyed_desk.hpp"

#include <mutex>
#include <set>
#include <thread>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

enqueue_jobs keyed(std::string key, std::vector<job_spec> jobs = {{.kind = "noop"}}) {
  return {std::move(jobs), std::move(key)};
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(requests_with_a_key, jobs_database)

BOOST_AUTO_TEST_CASE(the_second_time_the_answer_is_the_first_ones_and_nothing_is_stored) {
  const std::vector<job_spec> jobs{{.kind = "a", .args = R"({"x":1,"y":[2]})", .tags = {"t"}},
                                   {.kind = "b", .delay = 1h}};
  const auto first = put(at, keyed("k", jobs));
  BOOST_TEST(first.use == key_use::first);
  auto same = jobs;
  same[0].args = R"( {"y" : [2], "x" : 1} )";
  const auto again = put(at, keyed("k", same));
  BOOST_TEST(again.use == key_use::replayed);
  BOOST_TEST((again.ids == first.ids));
  BOOST_TEST((again.created_at == first.created_at));
  BOOST_TEST((again.created_at == at.get(first.ids[0]).created_at));
  BOOST_TEST(again.fates == first.fates, boost::test_tools::per_element());
  BOOST_TEST(count("job") == 2);
  BOOST_TEST(put(at, keyed("K", jobs)).use == key_use::first);
}

BOOST_AUTO_TEST_CASE(any_difference_makes_it_another_request) {
  const job_spec job{.kind = "a"};
  put(at, keyed("k", {job}));
  const auto differs = [&](auto change) {
    auto other = job;
    change(other);
    const auto told = put(at, keyed("k", {other}));
    return told.use == key_use::refused && told.fates.front() == enqueue_fate::none;
  };
  BOOST_TEST(differs([](job_spec& j) { j.kind = "b"; }));
  BOOST_TEST(differs([](job_spec& j) { j.queue = "b"; }));
  BOOST_TEST(differs([](job_spec& j) { j.args = "[]"; }));
  BOOST_TEST(differs([](job_spec& j) { j.priority = 1; }));
  BOOST_TEST(differs([](job_spec& j) { j.max_attempts = 3; }));
  BOOST_TEST(differs([](job_spec& j) { j.timeout = 1s; }));
  BOOST_TEST(differs([](job_spec& j) { j.tags = {"t"}; }));
  BOOST_TEST(differs([](job_spec& j) { j.delay = 1s; }));
  BOOST_TEST(differs([](job_spec& j) { j.run_at = timestamp{1s}; }));
  BOOST_TEST(differs([](job_spec& j) { j.unique = unique_rule{}; }));
  BOOST_TEST((put(at, keyed("k", {job, job})).use == key_use::refused));
  BOOST_TEST(count("job") == 1);
}

BOOST_AUTO_TEST_CASE(requests_that_share_a_statement_are_told_apart) {
  put(at, keyed("old"));
  put(at, keyed("other", {{.kind = "else"}}));
  enqueue_jobs all;
  all.jobs.assign(6, {.kind = "noop"});
  all.parts = {{1, "old"}, {2, ""}, {1, "other"}, {2, "new"}};
  const auto told = put(at, all);
  BOOST_REQUIRE(told.parts.size() == 4U);
  BOOST_TEST(told.parts[0].use == key_use::replayed);
  BOOST_TEST(told.parts[1].use == key_use::none);
  BOOST_TEST(told.parts[2].use == key_use::refused);
  BOOST_TEST(told.parts[3].use == key_use::first);
  BOOST_TEST(told.ids[0].value == 1);
  BOOST_TEST(told.ids[1].value == 3);
  BOOST_TEST(told.ids[3].value == 0);
  BOOST_TEST(told.ids[5].value == 6);
  BOOST_TEST(count("job") == 6);
}

BOOST_AUTO_TEST_CASE(of_jobs_that_are_told_apart_those_that_were_refused_may_come_again_alone) {
  std::vector<job_spec> jobs(2, job_spec{.kind = "noop"});
  jobs.push_back(unique_job());
  const auto held = put(at, unique_job()).id;
  const auto ask = [&] {
    enqueue_jobs all{jobs};
    all.apart = true;
    for (std::size_t i = 0; i < jobs.size(); ++i) // as the API makes them
      all.parts.push_back({1, "bulk\x1f" + std::to_string(i)});
    return put(at, all);
  };
  const auto first = ask();
  using f = enqueue_fate;
  BOOST_TEST((first.fates == std::vector{f::created, f::created, f::rejected}));
  BOOST_TEST((first.ids[2] == held));
  BOOST_REQUIRE(first.parts.size() == 3U);
  BOOST_TEST((first.parts[0].use == key_use::first));
  at.cancel(held);
  jobs[1].priority = 3; // another job in its place
  const auto again = ask();
  BOOST_TEST((again.ids[0] == first.ids[0]));
  BOOST_TEST((again.parts[0].use == key_use::replayed));
  BOOST_TEST((again.parts[1].use == key_use::refused));
  BOOST_TEST((again.fates[2] == f::created));
  BOOST_TEST((again.parts[2].use == key_use::first));
  BOOST_TEST(count("job") == 4);
}

BOOST_AUTO_TEST_CASE(an_answer_that_was_lost_with_its_connection_is_given_again) {
  {
    desk doomed{database.url()};
    doomed.send(db::enqueue_query(keyed("k"), db::rejections::told));
    // Committed, and nobody has read the answer when the connection goes.
    BOOST_REQUIRE(await_until([&] { return count("job") == 1; }));
  }
  const auto again = put(at, keyed("k"));
  BOOST_TEST(again.use == key_use::replayed);
  BOOST_TEST(again.ids.front().value == 1);
  BOOST_TEST(count("job") == 1);
}

BOOST_AUTO_TEST_CASE(what_was_rolled_back_or_rejected_may_be_asked_again) {
  at.begin();
  put(at, keyed("k"));
  at.rollback();
  BOOST_TEST(put(at, keyed("k")).use == key_use::first);
  const auto holder = put(at, unique_job()).id;
  BOOST_TEST(put(at, keyed("u", {unique_job()})).fates.front() == enqueue_fate::rejected);
  BOOST_TEST(count("idempotency") == 1);
  at.cancel(holder);
  const auto first = put(at, keyed("u", {unique_job()}));
  BOOST_TEST(first.fates.front() == enqueue_fate::created);
  const auto again = put(at, keyed("u", {unique_job()})); // the key of the request comes first
  BOOST_TEST(again.use == key_use::replayed);
  BOOST_TEST((again.ids == first.ids));
}

BOOST_AUTO_TEST_CASE(a_hundred_uses_at_once_make_one_job) {
  std::mutex guard;
  std::set<std::int64_t> ids;
  int firsts = 0;
  std::vector<std::string> problems;
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i)
    threads.emplace_back([&] {
      try {
        desk mine{database.url()};
        for (int times = 0; times < 5; ++times) {
          const auto told = put(mine, keyed("k"));
          const std::lock_guard lock(guard);
          ids.insert(told.ids.front().value);
          firsts += told.use == key_use::first ? 1 : 0;
        }
      } catch (const std::exception& e) {
        const std::lock_guard lock(guard);
        problems.emplace_back(e.what());
      }
    });
  for (auto& thread : threads)
    thread.join();
  for (const auto& problem : problems)
    BOOST_ERROR(problem);
  BOOST_TEST(ids.size() == 1U);
  BOOST_TEST(firsts == 1);
  BOOST_TEST(count("job") == 1);
}

BOOST_AUTO_TEST_CASE(a_key_is_kept_for_a_day_and_dropped_in_chunks) {
  for (int i = 0; i < 5; ++i)
    put(at, keyed("k" + std::to_string(i)));
  database.exec("update troupe.idempotency set created_at = now() - interval '23 hours 59 minutes' "
                "where key = 'k0'");
  database.exec("update troupe.idempotency set created_at = now() - interval '24 hours 1 second' "
                "where key > 'k0'");
  BOOST_TEST(database.value("select requests_dropped from troupe.forget_keys(3)") == "3");
  BOOST_TEST(at.keep_up().requests_dropped == 1);
  BOOST_TEST(database.value("select string_agg(key, ' ') from troupe.idempotency") == "k0");
  BOOST_TEST(put(at, keyed("k4")).use == key_use::first);
}

BOOST_AUTO_TEST_SUITE_END()
