// Answers on their way: each of the four uses, coroutines, and threads that must not wait.
#include "messages/pending.hpp"
#include "tests/support/printing.hpp"

#include <boost/test/unit_test.hpp>

#include <thread>

using namespace troupe;

namespace {

pending<int> doubled(pending<int> half) {
  const int value = co_await std::move(half);
  co_return 2 * value;
}

pending<void> through(pending<int> some, int& into) {
  into = co_await doubled(std::move(some));
}

pending<int> throws(pending<int> some) {
  static_cast<void>(co_await std::move(some));
  throw std::runtime_error("went wrong");
}

errc code_of_get(pending<int> asked) {
  try {
    static_cast<void>(std::move(asked).get());
    return errc::none;
  } catch (const engine_error& e) {
    return e.code();
  }
}

} // namespace

BOOST_AUTO_TEST_SUITE(pendings)

BOOST_AUTO_TEST_CASE(get_waits_for_what_another_thread_gives) {
  auto [answer, give] = make_pending<int>();
  std::thread other{[give = give] { give(7); }};
  BOOST_TEST(std::move(answer).get() == 7);
  other.join();
}

BOOST_AUTO_TEST_CASE(a_failure_is_thrown_with_its_code) {
  auto [answer, give] = make_pending<int>();
  give(failure{errc::stale, "changed"});
  BOOST_TEST(code_of_get(std::move(answer)) == errc::stale);
}

BOOST_AUTO_TEST_CASE(then_is_called_once_whichever_comes_first) {
  for (const bool early : {true, false}) {
    auto [answer, give] = make_pending<int>();
    int calls = 0;
    if (early)
      give(1);
    std::move(answer).then([&](const pending<int>::outcome& what) {
      ++calls;
      BOOST_TEST(std::get<int>(what) == 1);
    });
    give(1);
    give(2);
    BOOST_TEST(calls == 1);
  }
}

BOOST_AUTO_TEST_CASE(an_ignored_answer_may_still_come) {
  auto [answer, give] = make_pending<void>();
  std::move(answer).ignore();
  give(detail::nothing{});
}

BOOST_AUTO_TEST_CASE(coroutines_wait_for_answers_and_are_answers) {
  for (const bool early : {true, false}) {
    auto [answer, give] = make_pending<int>();
    int result = 0;
    if (early)
      give(21);
    auto all = through(std::move(answer), result);
    if (!early) {
      BOOST_TEST(result == 0);
      give(21);
    }
    std::move(all).get();
    BOOST_TEST(result == 42);
  }
}

BOOST_AUTO_TEST_CASE(a_failure_goes_through_coroutines_and_an_exception_becomes_one) {
  auto [answer, give] = make_pending<int>();
  auto twice = doubled(std::move(answer));
  give(failure{errc::retry, "again"});
  BOOST_TEST(code_of_get(std::move(twice)) == errc::retry);
  auto [other, give_other] = make_pending<int>();
  give_other(1);
  BOOST_TEST(code_of_get(throws(std::move(other))) == errc::internal);
}

BOOST_AUTO_TEST_CASE(a_callback_that_throws_does_not_reach_who_answers) {
  auto [answer, give] = make_pending<int>();
  std::move(answer).then([](const auto&) { throw std::runtime_error("went wrong"); });
  BOOST_CHECK_NO_THROW(give(1));
}

BOOST_AUTO_TEST_CASE(get_is_refused_on_a_thread_that_must_not_wait) {
  never_blocks = "a test's thread";
  auto [answer, give] = make_pending<int>();
  give(1); // even if it would not have to wait this time
  errc code = errc::none;
  std::string text;
  try {
    static_cast<void>(std::move(answer).get());
  } catch (const engine_error& e) {
    code = e.code();
    text = e.what();
  }
  never_blocks = nullptr;
  BOOST_TEST(code == errc::conflict);
  BOOST_TEST(text == "get() would block a test's thread; use then() or co_await there");
}

BOOST_AUTO_TEST_CASE(an_answer_that_is_dropped_is_told_to_the_log) {
  std::string told;
  log::set_sink([&told](log::level, std::string_view, std::string_view text) { told = text; });
  {
    auto [answer, give] = make_pending<int>();
    give(1);
  }
  log::set_sink({});
  BOOST_TEST(told == "an answer was neither awaited nor ignored");
}

BOOST_AUTO_TEST_SUITE_END()
