// What blocks is done aside: by so many threads, one thing after the other, and never in the way of
// the end.
#include "launcher/side_threads.hpp"
#include "tests/support/await.hpp"

#include <boost/test/unit_test.hpp>

#include <future>
#include <memory>
#include <pthread.h>
#include <vector>

using namespace troupe;
using tests::event_counter;

namespace {

/// What blocks until the test lets it go on.
struct gate {
  std::shared_ptr<event_counter> begun = std::make_shared<event_counter>();
  std::promise<void> open;
  std::shared_future<void> opened = open.get_future().share();

  std::function<void()> blocking() const {
    return [begun = begun, opened = opened] {
      begun->add();
      opened.wait();
    };
  }
};

/// As long as it lives, no thread can be started: their stacks find no place.
class no_more_threads {
public:
  no_more_threads() {
    BOOST_REQUIRE(pthread_getattr_default_np(&usual_) == 0);
    pthread_attr_t huge;
    BOOST_REQUIRE(pthread_attr_init(&huge) == 0);
    BOOST_REQUIRE(pthread_attr_setstacksize(&huge, std::size_t{1} << 47U) == 0);
    BOOST_REQUIRE(pthread_setattr_default_np(&huge) == 0);
    pthread_attr_destroy(&huge);
  }
  ~no_more_threads() {
    pthread_setattr_default_np(&usual_);
    pthread_attr_destroy(&usual_);
  }
  no_more_threads(const no_more_threads&) = delete;
  no_more_threads& operator=(const no_more_threads&) = delete;

private:
  pthread_attr_t usual_{};
};

} // namespace

BOOST_AUTO_TEST_CASE(what_waits_is_done_in_its_turn_and_what_is_too_much_is_refused_with_a_reason) {
  gate shut;
  side_threads threads{"side", {1, 2}};
  event_counter done;
  std::vector<int> order; // of the one thread until `done` has counted it
  const auto note = [&](int nth) {
    order.push_back(nth);
    done.add();
  };
  BOOST_TEST(!threads.run(shut.blocking(), [&] { note(1); }));
  BOOST_REQUIRE(shut.begun->await(1));
  for (int nth = 2; nth <= 3; ++nth)
    BOOST_TEST(!threads.run([] {}, [&, nth] { note(nth); }));
  const auto why = threads.run([] { BOOST_ERROR("was refused"); }, [] { BOOST_ERROR("refused"); });
  BOOST_REQUIRE(why);
  BOOST_TEST(*why == "too many wait already");
  shut.open.set_value();
  BOOST_REQUIRE(done.await(3));
  BOOST_TEST(order == (std::vector<int>{1, 2, 3}), boost::test_tools::per_element());
  // Its thread may have ended by now: the next one begins another.
  BOOST_TEST(!threads.run([] {}, [&] { done.add(); }));
  BOOST_TEST(done.await(4));
}

BOOST_AUTO_TEST_CASE(what_no_new_thread_can_do_is_done_by_those_there_are_or_refused) {
  gate shut;
  side_threads threads{"side", {2, 2}};
  event_counter done;
  {
    const no_more_threads now;
    const auto why =
        threads.run([] { BOOST_ERROR("was refused"); }, [] { BOOST_ERROR("refused"); });
    BOOST_TEST(why.has_value());
  }
  BOOST_TEST(!threads.run(shut.blocking(), [&] { done.add(); }));
  BOOST_REQUIRE(shut.begun->await(1));
  {
    const no_more_threads now;
    BOOST_TEST(!threads.run([] {}, [&] { done.add(); }));
  }
  shut.open.set_value();
  BOOST_TEST(done.await(2));
}

BOOST_AUTO_TEST_CASE(after_the_end_nobody_is_called_and_nothing_is_kept) {
  gate shut;
  const auto kept = std::make_shared<int>(1);
  {
    side_threads threads{"side", {1, 2}};
    threads.run(shut.blocking(), [kept] { BOOST_ERROR("called after the end"); });
    BOOST_REQUIRE(shut.begun->await(1));
    threads.run([] { BOOST_ERROR("begun after the end"); }, [kept] {});
    threads.stop();
    BOOST_TEST(kept.use_count() == 1);
    threads.run([] { BOOST_ERROR("begun after the end"); }, [kept] {});
    BOOST_TEST(kept.use_count() == 1);
  }
  shut.open.set_value();
}
