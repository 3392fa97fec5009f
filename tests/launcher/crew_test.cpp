// The crew's threads: nothing put is lost, nobody sleeps while a job waits for long, and sockets
// are looked after whoever is busy.
#include "launcher/crew.hpp"
#include "launcher/threads.hpp"
#include "tests/support/await.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <functional>
#include <future>
#include <sys/eventfd.h>
#include <unistd.h>

using namespace troupe;
using namespace troupe::tests;

namespace {

using task = std::function<void()>;

/// Threads that run tasks; an empty one ends the thread that takes it.
class running_crew {
public:
  explicit running_crew(std::size_t threads) {
    for (std::size_t i = 0; i < threads; ++i)
      threads_.push_back(start_thread("crew", [this] {
        crew::member me;
        for (;;) {
          const std::unique_ptr<task> next{as_task(shared_.take(me))};
          if (!*next)
            return shared_.leave(me);
          (*next)();
        }
      }));
  }
  running_crew(const running_crew&) = delete;
  running_crew& operator=(const running_crew&) = delete;
  ~running_crew() {
    for (std::size_t i = 0; i < threads_.size(); ++i)
      put({});
    for (auto& one : threads_)
      one.join();
    for (auto* left : shared_.rest())
      delete as_task(left);
  }

  void put(task what) {
    // Its jobs are never looked into, so any pointer will do.
    shared_.put(reinterpret_cast<crew::job>(new task(std::move(what))));
  }
  readiness& sockets() { return sockets_; }

private:
  static task* as_task(crew::job one) { return reinterpret_cast<task*>(one); }

  readiness sockets_;
  crew shared_{sockets_};
  std::vector<std::thread> threads_;
};

/// A socket that becomes readable when the test says so.
struct event_socket {
  int descriptor = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  event_socket() { BOOST_REQUIRE(descriptor >= 0); }
  event_socket(const event_socket&) = delete;
  event_socket& operator=(const event_socket&) = delete;
  ~event_socket() { ::close(descriptor); }
  /// From any thread, where Boost must not be asked.
  void signal() const { static_cast<void>(::eventfd_write(descriptor, 1)); }
};

} // namespace

BOOST_AUTO_TEST_CASE(everything_put_from_any_thread_is_taken_once) {
  constexpr std::size_t putters = 4;
  constexpr std::size_t each = 5'000;
  for (const std::size_t threads : {1U, 2U, 5U}) {
    event_counter taken;
    std::atomic<std::size_t> again{0};
    {
      running_crew some{threads};
      std::vector<std::thread> others;
      for (std::size_t i = 0; i < putters; ++i)
        others.push_back(start_thread("putter", [&] {
          for (std::size_t n = 0; n < each; ++n)
            some.put([&] {
              some.put([&] { ++again; }); // from inside
              taken.add();
            });
        }));
      for (auto& one : others)
        one.join();
      BOOST_TEST(taken.await(putters * each));
    }
    BOOST_TEST(again.load() == putters * each); // what ends the threads was put after them
  }
}

BOOST_AUTO_TEST_CASE(jobs_are_taken_in_the_order_of_putting) {
  std::vector<int> order;
  event_counter done;
  running_crew one{1};
  for (int i = 0; i < 1'000; ++i)
    one.put([&, i] {
      order.push_back(i);
      done.add();
    });
  BOOST_REQUIRE(done.await(1'000));
  BOOST_TEST(std::is_sorted(order.begin(), order.end()));
}

// The others fall asleep again and again while the first job runs; each that it puts has to wake
// one.
BOOST_AUTO_TEST_CASE(what_a_long_job_puts_late_does_not_wait_for_its_end) {
  for (const std::size_t threads : {2U, 3U}) {
    running_crew some{threads};
    event_counter others;
    std::promise<bool> ended;
    some.put([&] {
      bool all = true;
      for (int round = 1; all && round <= 50; ++round) {
        some.put([&] { others.add(); });
        all = others.await(round);
      }
      ended.set_value(all);
    });
    BOOST_TEST(ended.get_future().get());
  }
}

// The first job ends only after the second one has run: with nobody to wake it never would.
BOOST_AUTO_TEST_CASE(a_job_does_not_wait_for_a_long_one_while_a_thread_is_idle) {
  for (int round = 0; round < 20; ++round) {
    for (const std::size_t threads : {2U, 3U}) {
      running_crew some{threads};
      event_counter first;
      std::promise<bool> ended;
      some.put([&] {
        some.put([&] { first.add(); });
        ended.set_value(first.await(1));
      });
      BOOST_TEST(ended.get_future().get());
    }
  }
}

BOOST_AUTO_TEST_CASE(sockets_are_looked_after_while_a_job_runs_for_long) {
  for (const std::size_t threads : {2U, 3U}) {
    running_crew some{threads};
    const event_socket socket;
    const auto watch = some.sockets().watch(socket.descriptor);
    BOOST_REQUIRE(watch);
    event_counter readable;
    std::promise<bool> ended;
    some.put([&] {
      watch->when_readable([&] { readable.add(); });
      socket.signal();
      ended.set_value(readable.await(1));
    });
    BOOST_TEST(ended.get_future().get());
  }
}

BOOST_AUTO_TEST_CASE(sockets_are_looked_after_when_jobs_never_end) {
  running_crew one{1};
  const event_socket socket;
  const auto watch = one.sockets().watch(socket.descriptor);
  BOOST_REQUIRE(watch);
  event_counter ended;
  std::atomic<bool> readable{false};
  task again = [&] {
    if (readable.load())
      ended.add();
    else
      one.put(again);
  };
  watch->when_readable([&] { readable.store(true); });
  one.put(again);
  socket.signal();
  BOOST_TEST(ended.await(1));
}

BOOST_AUTO_TEST_CASE(what_a_socket_brings_runs_on_the_thread_that_waited_for_it) {
  running_crew some{2};
  const event_socket socket;
  const auto watch = some.sockets().watch(socket.descriptor);
  BOOST_REQUIRE(watch);
  const auto one_round = [&] {
    event_counter done;
    std::thread::id caller;
    std::thread::id runner;
    watch->when_readable([&] {
      eventfd_t drained = 0;
      ::eventfd_read(socket.descriptor, &drained);
      caller = std::this_thread::get_id();
      some.put([&] {
        runner = std::this_thread::get_id();
        done.add();
      });
    });
    socket.signal();
    BOOST_REQUIRE(done.await(1));
    return caller == runner;
  };
  // Of a hundred not all: the alarm may have woken the other one, and on a busy machine that one
  // may be the first. Were it left to chance, it would never be so many.
  BOOST_TEST(await_until([&] {
    int same = 0;
    for (int round = 0; round < 100; ++round)
      same += one_round() ? 1 : 0;
    return same > 80;
  }));
}

BOOST_AUTO_TEST_CASE(it_ends_whatever_its_threads_wait_for) {
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> ran{0};
    {
      running_crew some{3};
      for (int i = 0; i < round % 4; ++i)
        some.put([&] { ++ran; });
    }
    BOOST_TEST(ran.load() == round % 4);
  }
}
