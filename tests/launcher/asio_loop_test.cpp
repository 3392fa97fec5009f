// The loop under its contract: one call per arming, timers in order and replaceable, watches that
// die on any thread while armed, and nothing left open or alive after stop().
#include "launcher/asio_loop.hpp"
#include "tests/support/await.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <future>
#include <optional>
#include <stdexcept>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace troupe;
using namespace std::chrono_literals;
using tests::event_counter;

namespace {

struct running_loop {
  running_loop() {
    loop.start();
    loop.timer()->after(1ms, [] {}); // Asio opens its own descriptors at first use
  }
  asio_loop loop;
  /// Returns when everything posted so far has run.
  void settle() {
    event_counter reached;
    loop.post([&] { reached.add(); });
    BOOST_REQUIRE(reached.await(1));
  }
};

struct pipe_pair {
  pipe_pair() { BOOST_REQUIRE(pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0); }
  ~pipe_pair() {
    close_read();
    close_write();
  }
  void close_read() { drop(ends[0]); }
  void close_write() { drop(ends[1]); }
  void fill() const {
    const std::array<char, 4096> block{};
    while (::write(ends[1], block.data(), block.size()) > 0) {
    }
  }
  void write_one() const { BOOST_REQUIRE(::write(ends[1], "x", 1) == 1); }
  void read_all() const {
    std::array<char, 4096> block{};
    while (::read(ends[0], block.data(), block.size()) > 0) {
    }
  }
  static void drop(int& fd) {
    if (fd >= 0)
      ::close(fd);
    fd = -1;
  }
  std::array<int, 2> ends{-1, -1};
};

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

} // namespace

BOOST_FIXTURE_TEST_CASE(posted_callbacks_run_in_order_on_the_loops_thread, running_loop) {
  std::vector<int> order;
  std::atomic<int> elsewhere{0};
  event_counter done;
  for (int i = 0; i < 100; ++i) {
    loop.post([&, i] {
      order.push_back(i);
      if (!loop.on_loop_thread())
        ++elsewhere;
      done.add();
    });
  }
  BOOST_REQUIRE(done.await(100));
  settle();
  BOOST_TEST(std::is_sorted(order.begin(), order.end()));
  BOOST_TEST(elsewhere == 0);
  BOOST_TEST(!loop.on_loop_thread());
}

BOOST_FIXTURE_TEST_CASE(a_readable_pipe_calls_back_once_per_arming, running_loop) {
  pipe_pair pipe;
  event_counter calls;
  const auto watch = loop.watch(pipe.ends[0]);
  BOOST_REQUIRE(watch);
  watch->when_readable([&] { calls.add(); });
  settle();
  BOOST_TEST(calls.count() == 0);
  pipe.write_one();
  BOOST_REQUIRE(calls.await(1));
  pipe.write_one();
  settle();
  BOOST_TEST(calls.count() == 1);
}

BOOST_FIXTURE_TEST_CASE(arming_when_it_is_readable_already_calls_back, running_loop) {
  pipe_pair pipe;
  const auto watch = loop.watch(pipe.ends[0]);
  event_counter calls;
  pipe.write_one();
  for (int i = 1; i <= 3; ++i) {
    watch->when_readable([&] { calls.add(); });
    BOOST_REQUIRE(calls.await(i));
  }
}

BOOST_FIXTURE_TEST_CASE(arming_twice_is_one_call, running_loop) {
  pipe_pair pipe;
  const auto watch = loop.watch(pipe.ends[0]);
  event_counter calls;
  watch->when_readable([&] { calls.add(); });
  watch->when_readable([&] { calls.add(); });
  pipe.write_one();
  BOOST_REQUIRE(calls.await(1));
  settle();
  settle();
  BOOST_TEST(calls.count() == 1);
}

BOOST_FIXTURE_TEST_CASE(a_full_pipe_becomes_writable_when_it_is_read, running_loop) {
  pipe_pair pipe;
  pipe.fill();
  const auto watch = loop.watch(pipe.ends[1]);
  event_counter calls;
  watch->when_writable([&] { calls.add(); });
  settle();
  BOOST_TEST(calls.count() == 0);
  pipe.read_all();
  BOOST_TEST(calls.await(1));
}

BOOST_FIXTURE_TEST_CASE(a_hang_up_counts_as_readable, running_loop) {
  pipe_pair pipe;
  const auto watch = loop.watch(pipe.ends[0]);
  event_counter calls;
  watch->when_readable([&] { calls.add(); });
  pipe.close_write();
  BOOST_TEST(calls.await(1));
}

BOOST_FIXTURE_TEST_CASE(the_owner_may_close_its_descriptor_while_the_watch_is_armed, running_loop) {
  pipe_pair pipe;
  const auto watch = loop.watch(pipe.ends[0]);
  event_counter calls;
  watch->when_readable([&] { calls.add(); });
  pipe.close_read();
  pipe.write_one();
  BOOST_TEST(calls.await(1));
}

BOOST_FIXTURE_TEST_CASE(what_cannot_be_watched_is_null_with_a_reason, running_loop) {
  errno = 0;
  BOOST_TEST(!loop.watch(-1));
  BOOST_TEST(errno == EBADF);
  const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  BOOST_REQUIRE(file >= 0);
  const auto before = open_descriptors();
  BOOST_TEST(!loop.watch(file));
  BOOST_TEST(errno == EPERM);
  BOOST_TEST(open_descriptors() == before);
  ::close(file);
}

BOOST_FIXTURE_TEST_CASE(watches_die_armed_on_other_threads_and_leave_no_descriptor, running_loop) {
  const auto before = open_descriptors();
  {
    pipe_pair pipe;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) {
          auto calls = std::make_shared<std::atomic<int>>(0);
          const auto watch = loop.watch(pipe.ends[0]);
          const auto timer = loop.timer();
          watch->when_readable([calls] { ++*calls; });
          timer->after(i % 2 == 0 ? 0ms : 1h, [calls] { ++*calls; });
          if (i % 3 == 0)
            ::write(pipe.ends[1], "x", 1) == 1 ? void() : pipe.read_all();
        }
      });
    }
    for (auto& thread : threads)
      thread.join();
  }
  settle();
  BOOST_TEST(open_descriptors() == before);
}

BOOST_FIXTURE_TEST_CASE(a_watch_destroyed_on_the_loop_is_not_called_back, running_loop) {
  pipe_pair pipe;
  int calls = 0;
  event_counter done;
  pipe.write_one();
  loop.post([&] {
    auto watch = loop.watch(pipe.ends[0]);
    watch->when_readable([&] { ++calls; });
    watch.reset();
    done.add();
  });
  BOOST_REQUIRE(done.await(1));
  settle();
  settle();
  loop.stop();
  BOOST_TEST(calls == 0);
}

BOOST_FIXTURE_TEST_CASE(timers_call_back_in_the_order_of_their_deadlines, running_loop) {
  std::vector<int> order;
  event_counter calls;
  const auto late = loop.timer();
  const auto early = loop.timer();
  const auto middle = loop.timer();
  loop.post([&] { // in one step, so that no deadline passes in between
    // Even when the thread is kept from the CPU right after this it stays the last.
    late->after(1s, [&] { order.push_back(3), calls.add(); });
    early->after(1ms, [&] { order.push_back(1), calls.add(); });
    middle->after(15ms, [&] { order.push_back(2), calls.add(); });
  });
  BOOST_REQUIRE(calls.await(3));
  settle();
  BOOST_TEST((order == std::vector<int>{1, 2, 3}));
}

BOOST_FIXTURE_TEST_CASE(arming_a_timer_again_replaces_the_earlier_call, running_loop) {
  const auto timer = loop.timer();
  event_counter first;
  event_counter second;
  timer->after(1h, [&] { first.add(); });
  timer->after(0ms, [&] { second.add(); });
  BOOST_REQUIRE(second.await(1));
  timer->after(0ms, [&] { second.add(); });
  BOOST_REQUIRE(second.await(2));
  BOOST_TEST(first.count() == 0);
}

BOOST_FIXTURE_TEST_CASE(a_cancelled_timer_stays_silent, running_loop) {
  const auto timer = loop.timer();
  const auto mark = loop.timer();
  event_counter calls;
  event_counter marked;
  const auto arm_and_cancel = [&] {
    timer->after(1ms, [&] { calls.add(); });
    timer->cancel();
    mark->after(5ms, [&] { marked.add(); });
  };
  loop.post(arm_and_cancel); // in one step, so that it is not due in between
  BOOST_REQUIRE(marked.await(1));
  // From another thread, while the loop has no time for timers.
  std::promise<void> go_on;
  loop.post([gone_on = go_on.get_future().share()] { gone_on.wait(); });
  arm_and_cancel();
  go_on.set_value();
  BOOST_REQUIRE(marked.await(2));
  BOOST_TEST(calls.count() == 0);
}

BOOST_FIXTURE_TEST_CASE(a_negative_delay_is_now, running_loop) {
  const auto timer = loop.timer();
  event_counter calls;
  timer->after(-5s, [&] { calls.add(); });
  BOOST_TEST(calls.await(1));
}

BOOST_FIXTURE_TEST_CASE(an_exception_in_a_callback_does_not_end_the_loop, running_loop) {
  loop.post([] { throw std::runtime_error("on purpose"); });
  settle();
}

BOOST_FIXTURE_TEST_CASE(what_blocks_is_done_beside_the_loop_up_to_a_bound, running_loop) {
  std::promise<void> go_on;
  const auto gone_on = go_on.get_future().share();
  event_counter begun;
  event_counter done;
  std::atomic<int> elsewhere{0}; // the framework's own checks are for the test's thread
  const auto block = [&] {
    begun.add();
    gone_on.wait();
  };
  const auto then = [&] {
    elsewhere += loop.on_loop_thread() ? 0 : 1;
    done.add();
  };
  int taken = 0;
  while (taken < 1000 && loop.beside(block, then)) {
    if (++taken == 2)
      BOOST_REQUIRE(begun.await(2));
  }
  BOOST_TEST(taken == 2 + 64);
  settle(); // the loop goes on
  BOOST_TEST(begun.count() == 2);
  go_on.set_value();
  BOOST_TEST(done.await(taken));
  BOOST_TEST(elsewhere == 0);
}

BOOST_AUTO_TEST_CASE(handles_may_outlive_the_loop) {
  pipe_pair pipe;
  std::unique_ptr<fd_watch> watch;
  std::unique_ptr<io_timer> timer;
  int calls = 0;
  {
    running_loop short_lived;
    watch = short_lived.loop.watch(pipe.ends[0]);
    timer = short_lived.loop.timer();
    watch->when_readable([&] { ++calls; });
    timer->after(1h, [&] { ++calls; });
  }
  pipe.write_one();
  watch->when_readable([&] { ++calls; });
  timer->after(0ms, [&] { ++calls; });
  timer->cancel();
  watch.reset();
  timer.reset();
  BOOST_TEST(calls == 0);
}

BOOST_AUTO_TEST_CASE(after_stop_nothing_keeps_itself_alive) {
  struct owner {
    std::unique_ptr<fd_watch> watch;
    std::unique_ptr<io_timer> timer;
  };
  pipe_pair pipe;
  std::weak_ptr<owner> seen;
  const auto before = open_descriptors();
  {
    asio_loop loop;
    auto both = std::make_shared<owner>();
    seen = both;
    both->watch = loop.watch(pipe.ends[0]);
    both->timer = loop.timer();
    both->watch->when_readable([both] { BOOST_ERROR("never readable"); });
    both->timer->after(1h, [both] { BOOST_ERROR("far away"); });
    loop.start();
    std::optional<event_counter> reached(std::in_place);
    loop.post([&] { reached->add(); });
    BOOST_REQUIRE(reached->await(1));
    loop.post([both] {});
    both.reset();
    loop.stop();
    loop.stop();
    loop.post([] { BOOST_ERROR("posted after stop"); });
  }
  BOOST_TEST(seen.expired());
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_CASE(a_loop_that_never_started_stops) {
  asio_loop loop;
  loop.post([] { BOOST_ERROR("nobody runs this"); });
  const auto timer = loop.timer();
  timer->after(0ms, [] { BOOST_ERROR("nobody runs this"); });
  loop.stop();
}
