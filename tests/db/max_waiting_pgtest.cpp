// How many jobs of a queue may wait: who asks for more is refused, all or nothing, exact beside
// others that ask at the same time; and nothing that was accepted is ever refused.
#include "tests/db/counts_desk.hpp"

#include <atomic>
#include <mutex>
#include <thread>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

bool is_full(const refused& e) {
  return e.why.code == errc::overloaded;
}

struct bounded : jobs_database {
  desk other{database.url()};

  void bound(std::optional<int> most, const std::string& queue = "default") {
    limit_queue what{queue};
    what.max_waiting.emplace(most);
    at.ask(db::limit_query(what));
  }
  std::int64_t waiting(const std::string& queue = "default") { return at.queue(queue)->waiting; }
  /// Of several callers' jobs, as INTAKE stores them.
  std::vector<enqueue_fate> put_apart(const std::vector<std::vector<job_spec>>& callers) {
    enqueue_jobs all;
    all.apart = true;
    for (const auto& jobs : callers) {
      all.jobs.insert(all.jobs.end(), jobs.begin(), jobs.end());
      all.parts.push_back({jobs.size(), ""});
    }
    return put(at, all).fates;
  }
};

std::vector<job_spec> jobs_of(std::size_t count, const std::string& queue = "default") {
  return std::vector(count, job_spec{.kind = "noop", .queue = queue});
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(max_waiting, bounded)

BOOST_AUTO_TEST_CASE(as_many_wait_as_may_and_no_more) {
  bound(3);
  at.enqueue_many(2);
  BOOST_CHECK_EXCEPTION(at.enqueue_many(2), refused, is_full);
  BOOST_TEST(waiting() == 2);
  at.enqueue();
  try {
    at.enqueue();
    BOOST_FAIL("a fourth one was taken");
  } catch (const refused& no) {
    BOOST_TEST(no.why.message
               == "queue \"default\" is full: 3 jobs wait, at most 3 may, and 1 more do not fit");
    BOOST_TEST(!no.why.retryable);
  }
  at.enqueue_many(5, "free");
  std::vector<job_spec> both = jobs_of(1, "free");
  both.push_back({.kind = "noop"});
  BOOST_CHECK_EXCEPTION(at.enqueue(both), refused, is_full);
  BOOST_TEST(waiting("free") == 5);
  BOOST_TEST(count("job") == 8);
}

BOOST_AUTO_TEST_CASE(who_runs_makes_room_and_who_comes_back_is_never_refused) {
  bound(2);
  at.enqueue_many(2);
  const auto running = at.claim(2);
  BOOST_REQUIRE(running.jobs.size() == 2U);
  at.enqueue_many(2);
  at.finish(running, failed("again"), 0ms);
  let_time_pass();
  BOOST_TEST(at.promote().count == 2);
  BOOST_TEST(waiting() == 4);
  BOOST_CHECK_EXCEPTION(at.enqueue(), refused, is_full);
  const auto lost = at.claim(100);
  make_old(at.node);
  other.rescue(at.node);
  BOOST_TEST(waiting() == 4);
  at.join();
  for (const auto& batch : at.drain())
    at.finish(batch);
  at.retry(lost.jobs.front()->id);
  at.enqueue();
  BOOST_CHECK_EXCEPTION(at.enqueue(), refused, is_full);
}

BOOST_AUTO_TEST_CASE(what_is_scheduled_does_not_wait_yet) {
  bound(1);
  at.enqueue(std::vector(3, job_spec{.kind = "noop", .delay = 1h}));
  at.enqueue();
  at.enqueue(job_spec{.kind = "noop", .delay = 1h});
  BOOST_CHECK_EXCEPTION(at.enqueue(job_spec{.kind = "noop", .run_at = timestamp{1s}}), refused,
                        is_full);
  let_time_pass();
  at.promote();
  BOOST_TEST(waiting() == 5);
}

BOOST_AUTO_TEST_CASE(a_limit_is_set_changed_and_removed_while_jobs_come) {
  at.enqueue_many(5);
  bound(3);
  BOOST_TEST(at.queue()->max_waiting.value() == 3);
  BOOST_CHECK_EXCEPTION(other.enqueue(), refused, is_full);
  bound(6);
  other.enqueue();
  BOOST_CHECK_EXCEPTION(other.enqueue(), refused, is_full);
  bound(std::nullopt);
  BOOST_TEST(!at.queue()->max_waiting.has_value());
  other.enqueue_many(10);
  BOOST_CHECK_EXCEPTION(bound(0), refused, is_invalid);
  BOOST_TEST(at.queue()->version == 3);
}

BOOST_AUTO_TEST_CASE(of_many_callers_only_those_without_room_are_refused) {
  using f = enqueue_fate;
  bound(3);
  BOOST_TEST((put_apart({jobs_of(2), jobs_of(2), jobs_of(1), jobs_of(1, "free"), jobs_of(1)})
              == std::vector{f::created, f::created, f::none, f::no_room, f::created, f::created,
                             f::no_room}));
  BOOST_TEST(waiting() == 3);
  BOOST_TEST(waiting("free") == 1);
}

BOOST_AUTO_TEST_CASE(unique_jobs_and_requests_with_keys_are_refused_as_others_and_may_come_again) {
  bound(1);
  const auto held = put(at, unique_job());
  BOOST_TEST(held.fate == enqueue_fate::created);
  BOOST_TEST(put(at, unique_job()).fate == enqueue_fate::rejected);
  BOOST_TEST(put(at, unique_job(on_conflict::existing)).id == held.id); // needs no room
  BOOST_TEST(put(at, unique_job(on_conflict::replace)).id == held.id);
  auto second = unique_job();
  second.kind = "second";
  BOOST_TEST(put(at, second).fate == enqueue_fate::no_room);
  BOOST_CHECK_EXCEPTION(at.enqueue(second), refused, is_full);
  const enqueue_jobs with_key{jobs_of(1), "key"};
  BOOST_TEST(put(at, with_key).fates.front() == enqueue_fate::no_room);
  at.finish(at.claim_one());
  const auto stored = put(at, with_key);
  BOOST_TEST(stored.fates.front() == enqueue_fate::created);
  BOOST_TEST(put(at, with_key).ids == stored.ids); // a replay needs no room
  BOOST_TEST(count("unique_key") == 1);
  at.finish(at.claim_one());
  BOOST_TEST(put(at, second).fate == enqueue_fate::created);
}

BOOST_AUTO_TEST_CASE(nothing_is_handed_out_past_the_limit_while_it_is_stored) {
  at.join();
  at.enqueue();
  at.finish(at.claim_one());
  bound(1);
  BOOST_TEST(at.enqueue_here(jobs_of(1)).claimed.jobs.empty());
  BOOST_CHECK_EXCEPTION(at.enqueue_here(jobs_of(1)), refused, is_full);
  BOOST_TEST(waiting() == 1);
}

BOOST_AUTO_TEST_CASE(who_comes_second_waits_for_the_first_ones_commit_and_others_for_nobody) {
  bound(2);
  bound(1, "small");
  at.begin();
  at.enqueue();
  other.enqueue_many(1, "small");
  desk third(database.url());
  third.join();
  other.send(db::enqueue_query({jobs_of(2)}));
  BOOST_REQUIRE(other.waits(database));
  BOOST_TEST(third.claim(10, "small").jobs.size() == 1U); // claims go on
  third.enqueue(job_spec{.kind = "noop", .delay = 1h});
  at.commit();
  BOOST_TEST((other.later_code() == errc::overloaded));
  at.begin();
  at.enqueue();
  other.send(db::enqueue_query({jobs_of(1)}));
  BOOST_REQUIRE(other.waits(database));
  at.rollback();
  BOOST_TEST((other.later_code() == errc::none));
  BOOST_TEST(waiting() == 2);
}

BOOST_AUTO_TEST_CASE(however_many_enqueue_at_once_never_more_wait_than_may) {
  constexpr int most = 25;
  bound(most);
  std::atomic<bool> stop{false};
  std::atomic<int> taken{0}, turned_away{0};
  std::mutex guard;
  std::vector<std::string> problems;
  const auto run = [&](auto act) {
    return std::jthread([&, act] {
      try {
        desk mine(database.url());
        mine.join();
        act(mine);
      } catch (const std::exception& problem) {
        const std::lock_guard lock(guard);
        problems.emplace_back(problem.what());
        stop = true;
      }
    });
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.push_back(run([&, i](desk& mine) {
        // And until somebody has made room, who may begin late.
        for (int n = 0; !stop && (turned_away < 200 || taken <= most); ++n)
          try {
            const int count = 1 + (n + i) % 4;
            mine.enqueue_many(count);
            taken += count;
          } catch (const refused& no) {
            if (!is_full(no))
              throw;
            ++turned_away;
          }
        stop = true;
      }));
    threads.push_back(run([&](desk& mine) {
      // Not faster than it fills up: whoever is quicker, it becomes full again and again.
      for (int claims = 0; !stop;)
        if (claims >= turned_away)
          std::this_thread::yield();
        else if (auto batch = mine.claim(3); ++claims, !batch.jobs.empty())
          mine.finish(batch);
    }));
    threads.push_back(run([&](desk& mine) {
      const auto look = db::make_query("select available from troupe.counts('default')");
      while (!stop) {
        const auto waits = mine.ask(look).one().get<std::int64_t>(0);
        if (waits > most)
          throw std::runtime_error(std::to_string(waits) + " wait");
      }
    }));
  }
  for (const auto& problem : problems)
    BOOST_ERROR(problem);
  BOOST_TEST(taken > most);
  BOOST_TEST(count("job") == taken);
  BOOST_TEST(database.value(wrong_counts) == "");
}

BOOST_AUTO_TEST_SUITE_END()
