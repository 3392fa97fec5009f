// CAF on the crew: actors run, time passes, sockets become messages, and every system ends.
#include "launcher/socket_scheduler.hpp"
#include "tests/support/await.hpp"

#include <boost/test/unit_test.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

using namespace troupe;
using namespace troupe::tests;

namespace {

constexpr auto go = caf::atom("go");

struct scheduled_config : caf::actor_system_config {
  scheduled_config(readiness& sockets, std::size_t threads) {
    set("scheduler.max-threads", threads);
    use_socket_scheduler(*this, sockets);
  }
};

/// A system of so many threads, in the order in which the engine makes and ends it.
struct scheduled {
  explicit scheduled(std::size_t threads) : config(sockets, threads) {}
  readiness sockets;
  scheduled_config config;
  caf::actor_system system{config};
};

caf::behavior counts_down(caf::event_based_actor* self) {
  return {[self](int left) -> caf::result<int> {
    if (left == 0)
      return 0;
    auto answer = self->make_response_promise<caf::typed_response_promise<int>>();
    self->request(self->spawn(counts_down), caf::infinite, left - 1)
        .then([answer](int below) mutable { answer.deliver(below + 1); });
    return answer;
  }};
}

} // namespace

BOOST_AUTO_TEST_CASE(actors_run_on_any_number_of_threads) {
  for (const std::size_t threads : {1U, 2U, 4U}) {
    scheduled on{threads};
    caf::scoped_actor self{on.system};
    for (int round = 0; round < 50; ++round)
      self->request(self->spawn(counts_down), caf::infinite, 100)
          .receive([](int depth) { BOOST_TEST(depth == 100); },
                   [](caf::error&) { BOOST_FAIL("no answer"); });
  }
}

BOOST_AUTO_TEST_CASE(what_is_sent_for_later_comes) {
  scheduled on{2};
  event_counter rung;
  on.system.spawn([&](caf::event_based_actor* self) -> caf::behavior {
    self->delayed_send(self, std::chrono::milliseconds{20}, go);
    return {[&, self](caf::atom_value) {
      self->quit();
      rung.add();
    }};
  });
  BOOST_TEST(rung.await(1));
}

BOOST_AUTO_TEST_CASE(a_socket_that_becomes_ready_sends_its_message) {
  scheduled on{2};
  const int descriptor = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  BOOST_REQUIRE(descriptor >= 0);
  {
    const auto watch = on.sockets.watch(descriptor);
    BOOST_REQUIRE(watch);
    event_counter heard;
    const auto listener = on.system.spawn([&](caf::event_based_actor* self) -> caf::behavior {
      return {[&, self, left = 100](caf::atom_value) mutable {
        if (--left == 0)
          self->quit();
        heard.add(); // the last look at it: the test may go on, and it with the test
      }};
    });
    for (int round = 1; round <= 100; ++round) {
      watch->when_readable([&, listener] {
        eventfd_t drained = 0;
        ::eventfd_read(descriptor, &drained);
        caf::anon_send(listener, go);
      });
      BOOST_REQUIRE(::eventfd_write(descriptor, 1) == 0);
      BOOST_REQUIRE(heard.await(round));
    }
  }
  ::close(descriptor);
}

// An actor that waits for another one, as none should: the other one runs all the same.
BOOST_AUTO_TEST_CASE(a_busy_actor_holds_up_nobody_while_a_thread_is_idle) {
  scheduled on{2};
  event_counter second;
  event_counter both;
  const auto other = on.system.spawn([&](caf::event_based_actor* self) -> caf::behavior {
    return {[&, self](caf::atom_value) {
      self->quit();
      second.add();
    }};
  });
  on.system.spawn([&, other](caf::event_based_actor* self) {
    self->send(other, go);
    if (second.await(1))
      both.add();
  });
  BOOST_TEST(both.await(1));
}

BOOST_AUTO_TEST_CASE(systems_end_with_and_without_work) {
  for (int round = 0; round < 100; ++round) {
    scheduled on{3};
    for (int i = 0; i < round % 5; ++i)
      caf::anon_send(on.system.spawn(counts_down), 10);
  }
}
