// The pool under its contract: everything accepted runs or is dropped by stop(), a full queue says
// so, tasks run side by side, and neither exceptions nor signals reach what they should not.
#include "launcher/worker_pool.hpp"
#include "tests/support/await.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <future>
#include <memory>
#include <signal.h>
#include <stdexcept>

using namespace troupe;
using tests::event_counter;

BOOST_AUTO_TEST_CASE(every_accepted_task_runs_once) {
  thread_pool pool(4);
  std::atomic<int> sum{0};
  event_counter done;
  for (int i = 1; i <= 1000; ++i) {
    BOOST_REQUIRE(pool.post([&, i] {
      sum += i;
      done.add();
    }));
  }
  BOOST_REQUIRE(done.await(1000));
  BOOST_TEST(sum == 500500);
}

BOOST_AUTO_TEST_CASE(tasks_run_side_by_side) {
  thread_pool pool(3);
  event_counter inside;
  std::atomic<int> met{0};
  event_counter left;
  for (int i = 0; i < 3; ++i) {
    pool.post([&] {
      inside.add();
      met += inside.await(3) ? 1 : 0;
      left.add();
    });
  }
  BOOST_REQUIRE(left.await(3));
  BOOST_TEST(met == 3);
}

BOOST_AUTO_TEST_CASE(a_full_queue_refuses_and_accepts_again_when_it_empties) {
  thread_pool pool(1, 2);
  std::promise<void> gate;
  auto opened = gate.get_future().share();
  event_counter started;
  event_counter done;
  BOOST_REQUIRE(pool.post([&] {
    started.add();
    opened.wait();
  }));
  BOOST_REQUIRE(started.await(1));
  BOOST_TEST(pool.post([&] { done.add(); }));
  BOOST_TEST(pool.post([&] { done.add(); }));
  BOOST_TEST(!pool.post([&] { done.add(); }));
  BOOST_TEST(pool.waiting() == 2U);
  gate.set_value();
  BOOST_REQUIRE(done.await(2));
  BOOST_TEST(pool.post([&] { done.add(); }));
  BOOST_TEST(done.await(3));
}

BOOST_AUTO_TEST_CASE(stop_waits_for_what_runs_and_drops_what_waits) {
  thread_pool pool(1);
  event_counter started;
  std::promise<void> gate;
  std::atomic<bool> finished{false};
  std::atomic<int> ran{0};
  pool.post([&] {
    started.add();
    gate.get_future().wait();
    finished = true;
  });
  BOOST_REQUIRE(started.await(1));
  auto kept = std::make_shared<int>(7);
  const std::weak_ptr<int> seen = kept;
  pool.post([&ran, kept] { ++ran; });
  kept.reset();
  std::thread stopper([&] { pool.stop(); });
  while (pool.waiting() != 0) // stop() has taken the queue
    std::this_thread::yield();
  gate.set_value();
  stopper.join();
  BOOST_TEST(finished);
  BOOST_TEST(ran == 0);
  BOOST_TEST(seen.expired());
  BOOST_TEST(!pool.post([] {}));
  pool.stop();
}

BOOST_AUTO_TEST_CASE(an_exception_ends_the_task_and_not_the_thread) {
  thread_pool pool(1);
  event_counter done;
  pool.post([] { throw std::runtime_error("on purpose"); });
  pool.post([] { throw 42; });
  pool.post([&] { done.add(); });
  BOOST_TEST(done.await(1));
}

BOOST_AUTO_TEST_CASE(a_run_dropped_by_stop_fails_with_the_reason) {
  thread_pool pool(1);
  event_counter started;
  event_counter answered;
  std::promise<void> gate;
  std::string error;
  pool.post([&] {
    started.add();
    gate.get_future().wait();
  });
  BOOST_REQUIRE(started.await(1));
  on_worker(pool, [](const job_run&) { return completed(); })(
      std::make_shared<job_run>(), completion([&](const job_result& result) {
        error = result.error;
        answered.add();
      }));
  std::thread stopper([&] { pool.stop(); });
  while (pool.waiting() != 0)
    std::this_thread::yield();
  gate.set_value();
  stopper.join();
  BOOST_REQUIRE(answered.await(1));
  BOOST_TEST(error == "handler dropped its completion");
}

BOOST_AUTO_TEST_CASE(zero_threads_are_one) {
  thread_pool pool(0);
  event_counter done;
  pool.post([&] { done.add(); });
  BOOST_TEST(done.await(1));
}

BOOST_AUTO_TEST_CASE(a_stuck_task_costs_the_pool_no_thread) {
  thread_pool pool(1);
  std::stop_source given_up;
  auto run = std::make_shared<job_run>();
  run->given_up = given_up.get_token();
  event_counter started;
  event_counter done;
  std::promise<void> gate;
  on_worker(pool, [&](const job_run&) {
    started.add();
    gate.get_future().wait();
    return completed();
  })(run, completion([&](const job_result&) { done.add(); }));
  BOOST_REQUIRE(started.await(1));
  pool.post([&] { done.add(); });
  BOOST_TEST(done.count() == 0U);
  given_up.request_stop();
  BOOST_REQUIRE(done.await(1));
  gate.set_value();
  BOOST_REQUIRE(done.await(2));
  pool.stop(); // so that the stuck one's end is known
}

BOOST_AUTO_TEST_CASE(after_a_stuck_task_the_pool_runs_no_more_at_once_than_before) {
  thread_pool pool(1);
  pool.begin_stuck();
  pool.end_stuck(); // two threads are there
  std::atomic<int> at_once{0};
  std::atomic<bool> too_many{false};
  event_counter done;
  for (int i = 0; i < 200; ++i)
    pool.post([&] {
      too_many = too_many || ++at_once > 1;
      std::this_thread::yield();
      --at_once;
      done.add();
    });
  BOOST_REQUIRE(done.await(200));
  BOOST_TEST(!too_many);
}

BOOST_AUTO_TEST_CASE(a_run_given_up_while_it_waited_does_not_start) {
  thread_pool pool(1);
  event_counter started;
  std::promise<void> gate;
  pool.post([&] {
    started.add();
    gate.get_future().wait();
  });
  BOOST_REQUIRE(started.await(1));
  std::stop_source given_up;
  auto run = std::make_shared<job_run>();
  run->given_up = given_up.get_token();
  event_counter answered;
  std::atomic<bool> ran{false};
  on_worker(pool, [&](const job_run&) {
    ran = true;
    return completed();
  })(run, completion([&](const job_result&) { answered.add(); }));
  given_up.request_stop();
  gate.set_value();
  BOOST_REQUIRE(answered.await(1));
  BOOST_TEST(!ran);
}

BOOST_AUTO_TEST_CASE(stop_within_a_time_tells_of_tasks_that_do_not_end) {
  thread_pool pool(2);
  event_counter started;
  std::promise<void> gate;
  pool.post([&] {
    started.add();
    gate.get_future().wait();
  });
  BOOST_REQUIRE(started.await(1));
  BOOST_TEST(!pool.stop_within(std::chrono::milliseconds{1}));
  BOOST_TEST(!pool.post([] {}));
  gate.set_value();
  BOOST_TEST(pool.stop_within(std::chrono::minutes{5}));
}
