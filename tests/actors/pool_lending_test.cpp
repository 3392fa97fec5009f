// POOL lends: who gets a connection of his own, when, and what happens when he is done or dies.
#include "tests/actors/pool_doubles.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

BOOST_FIXTURE_TEST_SUITE(lending, doubled_pool)

BOOST_AUTO_TEST_CASE(an_idle_connection_is_lent_and_serves_nobody_else) {
  start(options(2, 2));
  all_up();
  const auto borrower = borrow();
  BOOST_REQUIRE(borrower->lent);
  BOOST_TEST(metrics.lent == 1U);
  const std::size_t lent = made[0]->lent == 1 ? 0 : 1;
  BOOST_TEST((borrower->lent->connection() == made[lent]->actor));
  for (int i = 0; i < 5; ++i)
    ask();
  BOOST_TEST(in_flight(lent) == 0U);
  BOOST_TEST(in_flight(1 - lent) == 5U);
  give_back(borrower);
  BOOST_REQUIRE(made[lent]->backs.size() == 1U);
  BOOST_TEST(!made[lent]->backs.front().tainted);
  ask();
  BOOST_TEST(in_flight(lent) == 0U); // not before it is clean
  cleaned(lent);
  ask();
  BOOST_TEST(in_flight(lent) == 1U);
  BOOST_TEST(metrics.lent == 0U);
}

BOOST_AUTO_TEST_CASE(a_tainted_loan_says_so_at_its_end) {
  start(options(2, 2));
  all_up();
  const auto borrower = borrow();
  borrower->lent->taint();
  give_back(borrower);
  BOOST_TEST((made[0]->backs.size() == 1 ? made[0] : made[1])->backs.at(0).tainted);
}

BOOST_AUTO_TEST_CASE(a_borrower_that_dies_gives_the_connection_back) {
  start(options(2, 2));
  all_up();
  const auto dies = spawn([this](caf::event_based_actor* self) -> caf::behavior {
    auto kept = std::make_shared<loan_ptr>();
    self->request(one, caf::infinite, lend_atom_v).then([kept](const loan_ptr& given) {
      *kept = given;
    });
    return {[kept](tick_atom) { static_cast<void>(kept); }};
  });
  run();
  BOOST_REQUIRE(metrics.lent == 1U);
  const std::size_t lent = made[0]->lent == 1 ? 0 : 1;
  caf::anon_send_exit(dies, caf::exit_reason::kill);
  run();
  BOOST_REQUIRE(made[lent]->backs.size() == 1U);
  cleaned(lent);
  BOOST_TEST(metrics.lent == 0U);
}

BOOST_AUTO_TEST_CASE(a_borrower_that_died_while_it_waited_leaves_no_trace) {
  auto few = options(2, 2);
  start(few);
  all_up();
  const auto holder = borrow();
  const auto dies = spawn([this](caf::event_based_actor* self) -> caf::behavior {
    self->request(one, caf::infinite, lend_atom_v).then([](const loan_ptr&) {});
    return {[](tick_atom) {}};
  });
  run();
  caf::anon_send_exit(dies, caf::exit_reason::kill);
  run();
  const std::size_t lent = made[0]->lent == 1 ? 0 : 1;
  give_back(holder);
  cleaned(lent); // lent to the dead one, and back again
  BOOST_REQUIRE(made[lent]->backs.size() == 1U);
  cleaned(lent);
  BOOST_TEST(metrics.lent == 0U);
  BOOST_TEST(counters.pool_waiting == 0U);
}

BOOST_AUTO_TEST_CASE(connections_for_loans_are_made_on_demand_and_one_stays_shared) {
  start(options(1, 4));
  all_up();
  BOOST_TEST(made.size() == 1U);
  std::vector<std::shared_ptr<heard>> borrowers;
  for (int i = 0; i < 6; ++i)
    borrowers.push_back(borrow());
  all_up();
  BOOST_TEST(made.size() == 4U);
  const auto lent = std::count_if(borrowers.begin(), borrowers.end(),
                                  [](const auto& each) { return each->lent != nullptr; });
  BOOST_TEST(lent == 3);
  BOOST_TEST((borrowers[0]->lent && borrowers[1]->lent && borrowers[2]->lent));
  const auto served = ask(); // past the loans that wait
  std::size_t shared = 0;
  while (made[shared]->lent > 0)
    ++shared;
  answer(shared);
  BOOST_TEST(served->answered);
}

BOOST_AUTO_TEST_CASE(waiting_loans_are_served_in_the_order_of_asking) {
  start(options(2, 2));
  all_up();
  const auto first = borrow();
  const auto second = borrow();
  const auto third = borrow();
  const std::size_t lent = made[0]->lent == 1 ? 0 : 1;
  give_back(first);
  cleaned(lent);
  BOOST_TEST((second->lent && !third->lent));
  give_back(second);
  cleaned(lent);
  BOOST_TEST((third->lent != nullptr));
}

BOOST_AUTO_TEST_CASE(a_busy_connection_is_kept_for_the_loan_that_asked_first) {
  auto full = options(2, 2);
  full.in_flight_per_connection = 2;
  start(full);
  all_up();
  for (int i = 0; i < 4; ++i)
    ask();
  const auto borrower = borrow();
  const auto late = ask();
  BOOST_TEST(counters.pool_waiting == 2U);
  const std::size_t kept = state().slots[0].reserved ? 0 : 1;
  answer(kept);
  BOOST_TEST(in_flight(kept) == 1U); // the late one does not get that place
  BOOST_TEST(in_flight(1 - kept) == 2U);
  answer(1 - kept); // but this one
  BOOST_TEST(in_flight(1 - kept) == 2U);
  BOOST_TEST(!borrower->lent);
  answer(kept);
  BOOST_TEST((borrower->lent != nullptr));
  BOOST_TEST(counters.pool_waiting == 0U);
  answer(1 - kept);
  answer(1 - kept);
  BOOST_TEST(late->answered);
}

BOOST_AUTO_TEST_CASE(a_query_that_asked_before_the_loan_is_served_before_it) {
  auto full = options(2, 2);
  full.in_flight_per_connection = 1;
  start(full);
  all_up();
  ask();
  ask();
  const auto early = ask();
  const auto borrower = borrow();
  BOOST_TEST(!state().slots[0].reserved);
  BOOST_TEST(!state().slots[1].reserved);
  answer(0);
  BOOST_TEST(in_flight(0) == 1U); // the early query
  BOOST_TEST(!borrower->lent);
  answer(0);
  BOOST_TEST(early->answered);
  BOOST_TEST((borrower->lent != nullptr));
}

BOOST_AUTO_TEST_CASE(a_loan_waits_no_longer_than_a_query) {
  start(options(2, 2));
  all_up();
  const auto holder = borrow();
  const auto waits = borrow();
  advance(2900ms);
  BOOST_TEST((waits->refused.code == errc{}) == false);
  BOOST_TEST(waits->refused.detail.empty());
  advance(300ms);
  BOOST_TEST(waits->refused.code == errc::overloaded);
  BOOST_TEST(waits->refused.detail.find("free to be lent") != std::string::npos);
  BOOST_TEST(counters.pool_waiting == 0U);
  BOOST_TEST(counters.pool_refused == 1U);
  give_back(holder); // and nobody gets what he gave up
  const std::size_t lent = made[0]->lent == 1 ? 0 : 1;
  cleaned(lent);
  BOOST_TEST(metrics.lent == 0U);
  BOOST_TEST((borrow()->lent != nullptr));
}

BOOST_AUTO_TEST_CASE(loans_and_queries_share_one_bound_of_waiting) {
  auto tight = options(2, 2);
  tight.max_waiting = 2;
  tight.in_flight_per_connection = 1;
  start(tight);
  all_up();
  const auto holder = borrow();
  ask(); // in flight
  ask();
  borrow();
  const auto query = ask();
  const auto loan = borrow();
  BOOST_TEST(query->refused.code == errc::overloaded);
  BOOST_TEST(loan->refused.code == errc::overloaded);
  BOOST_TEST(loan->refused.detail.find("too many callers") == 0U);
}

BOOST_AUTO_TEST_CASE(a_pool_of_one_lends_nothing_and_says_so) {
  start(options(1, 1));
  all_up();
  BOOST_TEST(borrow()->refused.code == errc::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_lent_connection_that_breaks_is_replaced_before_its_loan_ends) {
  start(options(2, 2));
  all_up();
  const auto borrower = borrow();
  const std::size_t lent = made[0]->lent == 1 ? 0 : 1;
  lose_lent(lent, "terminated");
  BOOST_TEST(metrics.lent == 0U);
  advance(200ms);
  BOOST_REQUIRE(made.size() == 3U);
  up(2);
  BOOST_TEST(metrics.reconnects == 1U);
  BOOST_TEST((borrow()->lent != nullptr)); // and is lent as the old one was
  BOOST_TEST(!gone(lent));                 // that one tells its borrower why
  give_back(borrower);
  BOOST_TEST(made[lent]->backs.empty());
  BOOST_TEST(gone(lent));
}

BOOST_AUTO_TEST_CASE(a_borrower_that_hears_of_the_loss_first_leaves_nothing_behind) {
  start(options(2, 2));
  all_up();
  auto borrower = borrow();
  BOOST_REQUIRE(borrower->lent != nullptr);
  std::size_t broken = 0;
  while (made[broken]->lent == 0)
    ++broken;
  give_back(borrower); // before the connection's own word reaches us
  lose_lent(broken, "the server went away");
  BOOST_TEST(metrics.lent == 0U);
  BOOST_TEST(gone(broken));
  BOOST_TEST(state().slots.size() <= 2U);
  advance(3s);
  all_up();
  BOOST_TEST(borrow()->lent != nullptr);
}

BOOST_AUTO_TEST_CASE(a_connection_that_cannot_be_cleaned_is_replaced) {
  start(options(2, 2));
  all_up();
  const auto borrower = borrow();
  const std::size_t lent = made[0]->lent == 1 ? 0 : 1;
  give_back(borrower);
  BOOST_REQUIRE(made[lent]->backs.size() == 1U);
  fail(lent, errc::unavailable, "took too long to undo");
  BOOST_TEST(metrics.lent == 0U);
  advance(200ms);
  BOOST_TEST(made.size() == 3U);
}

BOOST_AUTO_TEST_CASE(
    a_connection_that_ends_while_it_is_being_lent_does_not_cost_the_borrower_his_place) {
  start(options(2, 2));
  all_up();
  for (std::size_t i = 0; i < made.size(); ++i)
    fail_unseen(i, make_error(errc::unavailable, "gone"));
  const auto borrower = borrow();
  BOOST_TEST(!borrower->lent);
  BOOST_TEST(borrower->refused.detail.empty());
  advance(300ms);
  all_up();
  BOOST_TEST((borrower->lent != nullptr));
  BOOST_TEST(metrics.lent == 1U);
}

BOOST_AUTO_TEST_CASE(the_end_of_the_pool_answers_who_waits_for_a_loan) {
  start(options(2, 2));
  all_up();
  const auto holder = borrow();
  const auto waits = borrow();
  caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
  run();
  BOOST_TEST(waits->refused.code == errc::stopping);
  BOOST_TEST(gone(0));
  BOOST_TEST(gone(1));
  give_back(holder);
}

BOOST_AUTO_TEST_SUITE_END()
