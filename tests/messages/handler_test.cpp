// The handler contract: a completion answers once whatever happens to it, and blocking handlers
// answer through any pool, also through one that is full or drops its tasks.
#include "messages/handler.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <deque>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace troupe;
using verdict = job_result::verdict;

namespace {

/// Keeps the tasks so that the test decides when, or whether, they run.
class held_pool : public worker_pool {
public:
  bool post(std::function<void()> task) override {
    if (full)
      return false;
    tasks.push_back(std::move(task));
    return true;
  }
  void run_all() {
    while (!tasks.empty()) {
      const auto task = std::move(tasks.front());
      tasks.pop_front();
      task();
    }
  }
  std::deque<std::function<void()>> tasks;
  bool full = false;
};

struct answers {
  completion listen() {
    return completion([this](job_result result) { got.push_back(std::move(result)); });
  }
  std::vector<job_result> got;
};

job_run_ptr some_run() {
  auto run = std::make_shared<job_run>();
  run->args = R"({"n":1})";
  return run;
}

} // namespace

BOOST_AUTO_TEST_CASE(the_makers_say_what_their_names_say) {
  BOOST_TEST((completed("1").kind == verdict::completed));
  BOOST_TEST(completed("1").result == "1");
  BOOST_TEST((failed("why").kind == verdict::failed));
  BOOST_TEST(failed("why").error == "why");
  BOOST_TEST((discarded("why").kind == verdict::discarded));
  BOOST_TEST((snoozed(std::chrono::seconds{2}).kind == verdict::snoozed));
  BOOST_TEST(snoozed(std::chrono::seconds{2}).retry_in->count() == 2000);
}

BOOST_AUTO_TEST_CASE(only_the_first_answer_counts) {
  answers heard;
  const completion done = heard.listen();
  const completion copy = done;
  copy(completed("1"));
  done(failed("late"));
  BOOST_REQUIRE(heard.got.size() == 1);
  BOOST_TEST(heard.got[0].result == "1");
}

BOOST_AUTO_TEST_CASE(the_last_copy_to_die_unanswered_fails_the_run) {
  answers heard;
  {
    completion done = heard.listen();
    { const completion copy = done; }
    BOOST_TEST(heard.got.empty());
  }
  BOOST_REQUIRE(heard.got.size() == 1);
  BOOST_TEST((heard.got[0].kind == verdict::failed));
  BOOST_TEST(heard.got[0].error == "handler dropped its completion");
}

BOOST_AUTO_TEST_CASE(an_answered_completion_dies_silently) {
  answers heard;
  heard.listen()(completed());
  BOOST_TEST(heard.got.size() == 1);
}

BOOST_AUTO_TEST_CASE(an_empty_completion_takes_an_answer_and_does_nothing) {
  BOOST_CHECK_NO_THROW(completion{}(completed()));
}

BOOST_AUTO_TEST_CASE(of_answers_from_many_threads_one_is_delivered) {
  std::atomic<int> delivered{0};
  const completion done([&](const job_result&) { ++delivered; });
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([done] { done(completed()); });
  for (auto& thread : threads)
    thread.join();
  BOOST_TEST(delivered == 1);
}

BOOST_AUTO_TEST_CASE(a_blocking_handler_runs_on_the_pool_and_its_result_is_the_answer) {
  held_pool pool;
  answers heard;
  on_worker(pool, [](const job_run& run) { return completed(run.args); })(some_run(),
                                                                          heard.listen());
  BOOST_TEST(heard.got.empty());
  pool.run_all();
  BOOST_REQUIRE(heard.got.size() == 1);
  BOOST_TEST(heard.got[0].result == R"({"n":1})");
}

BOOST_AUTO_TEST_CASE(an_exception_is_a_failed_attempt_with_its_text) {
  held_pool pool;
  answers heard;
  const blocking_handler throwing = [](const job_run&) -> job_result {
    throw std::runtime_error("no such host");
  };
  on_worker(pool, throwing)(some_run(), heard.listen());
  pool.run_all();
  BOOST_REQUIRE(heard.got.size() == 1);
  BOOST_TEST((heard.got[0].kind == verdict::failed));
  BOOST_TEST(heard.got[0].error == "no such host");
}

BOOST_AUTO_TEST_CASE(a_full_pool_snoozes_the_run_and_costs_no_attempt) {
  held_pool pool;
  pool.full = true;
  answers heard;
  on_worker(pool, [](const job_run&) { return completed(); })(some_run(), heard.listen());
  BOOST_REQUIRE(heard.got.size() == 1);
  BOOST_TEST((heard.got[0].kind == verdict::snoozed));
  BOOST_TEST(heard.got[0].retry_in.has_value());
}

BOOST_AUTO_TEST_CASE(a_pool_that_drops_its_tasks_fails_their_runs) {
  held_pool pool;
  answers heard;
  on_worker(pool, [](const job_run&) { return completed(); })(some_run(), heard.listen());
  pool.tasks.clear();
  BOOST_REQUIRE(heard.got.size() == 1);
  BOOST_TEST((heard.got[0].kind == verdict::failed));
}
