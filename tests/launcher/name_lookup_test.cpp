// Names are looked up aside: bounded, and never in the way of the end.
#include "launcher/asio_loop.hpp"
#include "launcher/name_lookup.hpp"
#include "tests/support/await.hpp"

#include <boost/test/unit_test.hpp>

#include <future>

using namespace troupe;
using namespace troupe::tests;

namespace {

/// A resolver whose servers keep silent until the test lets them speak.
struct silent_servers {
  std::shared_ptr<event_counter> asked = std::make_shared<event_counter>();
  std::promise<void> speak;
  std::shared_future<void> spoken = speak.get_future().share();

  name_lookup::resolver resolver() const {
    return [asked = asked, spoken = spoken](const std::string& host) {
      asked->add();
      spoken.wait();
      return resolution{{host + " address"}, {}};
    };
  }
};

} // namespace

BOOST_AUTO_TEST_CASE(a_name_becomes_addresses_and_an_unknown_one_a_reason) {
  asio_loop loop;
  loop.start();
  std::promise<resolution> known;
  std::promise<resolution> unknown;
  bool on_loop = false; // the framework's own checks are for the test's thread
  loop.resolve("127.0.0.1", [&](resolution found) {
    on_loop = loop.on_loop_thread();
    known.set_value(std::move(found));
  });
  loop.resolve("no such host", [&](resolution found) { unknown.set_value(std::move(found)); });
  const auto found = known.get_future().get();
  BOOST_TEST(on_loop);
  BOOST_REQUIRE(found.addresses.size() == 1U);
  BOOST_TEST(found.addresses[0] == "127.0.0.1");
  const auto failed = unknown.get_future().get();
  BOOST_TEST(failed.addresses.empty());
  BOOST_TEST(failed.failure.find("no such host") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_end_does_not_wait_for_silent_servers) {
  silent_servers servers;
  const auto kept = std::make_shared<int>(1);
  {
    name_lookup names{servers.resolver()};
    names.start("a", [kept](const resolution&) { BOOST_ERROR("called after the end"); });
    BOOST_REQUIRE(servers.asked->await(1));
    names.start("b", [kept](const resolution&) { BOOST_ERROR("called after the end"); });
    names.stop();
    BOOST_TEST(kept.use_count() == 1); // the callbacks are gone at once
  }
  servers.speak.set_value();
}

BOOST_AUTO_TEST_CASE(two_are_asked_at_a_time_and_too_many_are_refused) {
  silent_servers servers;
  name_lookup names{servers.resolver()};
  event_counter answered;
  event_counter refused;
  const auto note = [&](const resolution& found) {
    (found.addresses.empty() ? refused : answered).add();
  };
  for (int i = 0; i < name_lookup::max_threads; ++i)
    names.start("first", note);
  BOOST_REQUIRE(servers.asked->await(name_lookup::max_threads));
  for (std::size_t i = 0; i < name_lookup::max_waiting; ++i)
    names.start("waits", note);
  BOOST_TEST(servers.asked->count() == name_lookup::max_threads);
  BOOST_TEST(refused.count() == 0);
  names.start("one too many", note);
  BOOST_TEST(refused.count() == 1);
  servers.speak.set_value();
  BOOST_TEST(answered.await(name_lookup::max_threads + static_cast<int>(name_lookup::max_waiting)));
}
