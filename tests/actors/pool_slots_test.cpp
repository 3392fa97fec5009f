// POOL and the lives of its connections in virtual time: growth, idleness, age, trials, outages.
#include "tests/actors/pool_doubles.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct living_pool : doubled_pool {
  std::size_t alive() {
    std::size_t count = 0;
    for (std::size_t i = 0; i < made.size(); ++i)
      count += gone(i) ? 0 : 1;
    return count;
  }
  /// Keeps every connection in use so that none is idle or has to be tried.
  void use_all() {
    for (std::size_t i = 0; i < made.size(); ++i)
      if (auto* slot = find(i))
        slot->used_at = sched().clock().now();
  }
  pool_state::slot* find(std::size_t index) {
    for (auto& slot : state().slots)
      if (slot.id == made.at(index)->config.id)
        return &slot;
    return nullptr;
  }
  void advance_in_use(std::chrono::milliseconds time) {
    for (; time > 0ms; time -= 1s) {
      use_all();
      advance(std::min<std::chrono::milliseconds>(time, 1s), 100ms);
    }
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(lives, living_pool)

BOOST_AUTO_TEST_CASE(connections_are_made_two_at_a_time_up_to_the_least) {
  start(options(5, 8));
  BOOST_TEST(made.size() == 2U);
  up(0);
  BOOST_TEST(made.size() == 3U);
  all_up();
  advance(5s);
  BOOST_TEST(made.size() == 5U);
}

BOOST_AUTO_TEST_CASE(the_pool_grows_when_all_have_much_to_do_and_shrinks_after_a_while) {
  auto small = options(1, 3);
  small.grow_at = 2;
  small.idle_limit = 10s;
  start(small);
  all_up();
  ask();
  ask();
  BOOST_TEST(made.size() == 1U);
  ask();
  BOOST_TEST(made.size() == 2U);
  ask();
  BOOST_TEST(made.size() == 2U); // one at a time
  up(1);
  for (int i = 0; i < 20; ++i)
    ask();
  all_up();
  BOOST_TEST(made.size() == 3U);
  for (std::size_t i = 0; i < made.size(); ++i)
    while (in_flight(i) > 0)
      answer(i);
  advance(9s, 100ms);
  BOOST_TEST(alive() == 3U);
  advance(3s, 100ms);
  BOOST_TEST(alive() == 1U);
  BOOST_TEST(metrics.retired == 2U);
  BOOST_TEST(metrics.reconnects == 0U);
  ask();
  BOOST_TEST(counters.pool_waiting == 0U);
}

BOOST_AUTO_TEST_CASE(old_connections_are_replaced_one_by_one_and_only_when_the_new_one_is_up) {
  auto ageing = options(3, 3);
  ageing.max_lifetime = 100s;
  start(ageing);
  all_up();
  advance_in_use(89s); // 10% sooner at the soonest
  BOOST_TEST(made.size() == 3U);
  advance_in_use(23s); // 10% later at the latest; all are too old now
  for (std::size_t next = 3; next <= 5; ++next) {
    BOOST_REQUIRE(made.size() == next + 1); // one, and the next not before its turn
    BOOST_TEST(alive() == 4U);
    up(next);
    BOOST_TEST(alive() == 3U);
    advance_in_use(3s);
  }
  BOOST_TEST((gone(0) && gone(1) && gone(2)));
  BOOST_TEST(alive() == 3U);
  BOOST_TEST(metrics.retired == 3U);
  BOOST_TEST(metrics.reconnects == 0U);
}

BOOST_AUTO_TEST_CASE(an_old_connection_finishes_what_is_in_flight) {
  auto ageing = options(1, 2);
  ageing.max_lifetime = 10s;
  start(ageing);
  all_up();
  const auto asker = ask();
  advance_in_use(13s);
  BOOST_REQUIRE(made.size() == 2U);
  ask();
  BOOST_TEST(in_flight(0) == 2U); // it serves until the other is there
  up(1);
  ask();
  BOOST_TEST(in_flight(0) == 2U);
  BOOST_TEST(in_flight(1) == 1U);
  answer(0);
  BOOST_TEST(asker->answered);
  BOOST_TEST(!gone(0));
  answer(0);
  BOOST_TEST(gone(0));
}

BOOST_AUTO_TEST_CASE(lifetimes_differ_by_a_tenth_each_way) {
  auto many = options(40, 40);
  many.max_lifetime = 1000s;
  start(many);
  all_up();
  BOOST_REQUIRE(made.size() == 40U);
  auto least = 2000s, most = 0s;
  for (const auto& slot : state().slots) {
    const auto life =
        std::chrono::duration_cast<std::chrono::seconds>(slot.retire_at - slot.used_at);
    least = std::min(least, life);
    most = std::max(most, life);
  }
  BOOST_TEST((least >= 900s && most <= 1100s));
  BOOST_TEST((most - least >= 100s));
}

BOOST_AUTO_TEST_CASE(a_connection_that_was_idle_is_tried_before_it_serves) {
  auto idle = options(1, 1);
  start(idle);
  all_up();
  advance(29s, 100ms);
  ask();
  BOOST_TEST(made[0]->names.size() == 1U); // not idle long enough
  answer(0);
  advance(31s, 100ms);
  const auto asker = ask();
  BOOST_REQUIRE(made[0]->names.size() == 2U);
  BOOST_TEST(made[0]->names[1] == "session_ping");
  BOOST_TEST(!asker->answered);
  answer(0); // the trial
  BOOST_REQUIRE(made[0]->names.size() == 3U);
  BOOST_TEST(made[0]->names[2] == "one");
  answer(0);
  BOOST_TEST(asker->answered);
}

BOOST_AUTO_TEST_CASE(a_failed_trial_replaces_the_connection_and_the_caller_does_not_notice) {
  start(options(1, 1));
  all_up();
  advance(31s, 100ms);
  const auto asker = ask();
  BOOST_REQUIRE(made[0]->names.size() == 1U);
  advance(1200ms); // it stays silent
  BOOST_TEST(gone(0));
  BOOST_REQUIRE(made.size() == 2U);
  up(1);
  BOOST_REQUIRE(in_flight(1) == 1U);
  answer(1);
  BOOST_TEST(asker->answered);
  BOOST_TEST(made[0]->names.size() == 1U); // nothing of his was sent there
  BOOST_TEST(metrics.reconnects == 1U);
}

BOOST_AUTO_TEST_CASE(a_loan_gets_no_untried_connection) {
  start(options(2, 2));
  all_up();
  advance(31s, 100ms);
  const auto borrower = borrow();
  BOOST_TEST(!borrower->lent);
  BOOST_TEST(in_flight(0) + in_flight(1) == 2U); // trials
  answer(0);
  answer(1);
  BOOST_TEST((borrower->lent != nullptr));
}

BOOST_AUTO_TEST_CASE(after_an_outage_one_connection_is_tried_at_a_time_with_growing_pauses) {
  start(options(4, 4));
  all_up();
  for (std::size_t i = 0; i < 4; ++i)
    fail_unseen(i, make_error(errc::unavailable, "the server is gone"));
  run();
  std::size_t tried = 4;
  std::vector<std::chrono::milliseconds> pauses;
  auto last = 0ms;
  auto now = 0ms;
  while (pauses.size() < 12) {
    advance(10ms);
    now += 10ms;
    BOOST_REQUIRE(made.size() - tried <= (pauses.empty() ? 2U : 1U));
    for (; tried < made.size(); ++tried) {
      pauses.push_back(now - last);
      last = now;
      fail(tried, errc::unavailable, "still gone");
    }
    BOOST_REQUIRE(now < 60s);
  }
  BOOST_TEST((pauses.front() <= 110ms)); // the first at once, but not in the same instant
  BOOST_TEST((pauses.back() >= 1490ms));
  BOOST_TEST((pauses.back() <= 2510ms)); // so a server that is back is found within this
  // It is back: one by one.
  while (made.size() == tried) {
    advance(10ms);
  }
  BOOST_TEST(made.size() == tried + 1);
  up(tried);
  BOOST_TEST(made.size() <= tried + 3);
  all_up();
  BOOST_TEST(alive() == 4U);
  BOOST_TEST(metrics.reconnects == 4U);
}

BOOST_AUTO_TEST_CASE(who_waits_in_vain_hears_why_connecting_fails) {
  start(options(1, 2));
  fail(0, errc::unavailable, "the server refuses the user or the password (28P01)");
  for (std::size_t next = 1; next < made.size(); ++next)
    fail(next, errc::unavailable, "the server refuses the user or the password (28P01)");
  const auto asker = ask();
  const auto borrower = borrow();
  for (int i = 0; i < 40; ++i) {
    advance(100ms);
    if (!gone(made.size() - 1))
      fail(made.size() - 1, errc::unavailable,
           "the server refuses the user or the password (28P01)");
  }
  BOOST_TEST(asker->refused.code == errc::unavailable);
  BOOST_TEST(asker->refused.detail.find("28P01") != std::string::npos);
  BOOST_TEST(borrower->refused.code == errc::unavailable);
  BOOST_TEST(borrower->refused.detail.find("28P01") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_dial_whose_packets_are_lost_does_not_keep_others_from_being_tried) {
  start(options(1, 1));
  advance(1900ms, 100ms);
  BOOST_TEST(made.size() == 1U);
  advance(2s, 100ms);
  BOOST_TEST(made.size() == 2U);
  up(1);
  up(0);                     // after all
  BOOST_TEST(alive() == 1U); // never more than max_size
}

BOOST_AUTO_TEST_CASE(waiting_is_measured) {
  start(options(1, 1));
  ask();
  advance(40ms);
  up(0);
  ask();
  BOOST_TEST(metrics.acquire.count(0) == 1U); // at once
  std::size_t bucket = 0;
  while (latency_histogram::bounds_us[bucket] < 40'000)
    ++bucket;
  BOOST_TEST(metrics.acquire.count(bucket) == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
