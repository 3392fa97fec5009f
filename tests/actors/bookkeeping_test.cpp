// The arithmetic beside the actors: slots and prefetch, leases.
#include "actors/lease_book.hpp"
#include "actors/queue_slots.hpp"
#include "tests/support/printing.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(prefetch_is_what_the_slots_finish_in_a_moment) {
  queue_slots slots{10};
  BOOST_TEST(slots.prefetch() == 50); // ten milliseconds each at first
  for (int i = 0; i < 1000; ++i)
    slots.ran(5s);
  BOOST_TEST(slots.prefetch() == 0); // long jobs stay claimable by others
  BOOST_TEST(slots.claim_limit(0) == 10);
  for (int i = 0; i < 2000; ++i)
    slots.ran(1us);
  BOOST_TEST(slots.prefetch() == queue_slots::max_prefetch);
  for (int i = 0; i < 2000; ++i)
    slots.ran(0us);
  BOOST_TEST(slots.prefetch() == queue_slots::max_prefetch);
}

BOOST_AUTO_TEST_CASE(prefetch_keeps_to_its_bound) {
  for (const int most : {-1, 0, 7, queue_slots::max_prefetch, queue_slots::max_prefetch + 1}) {
    queue_slots slots{10, most};
    for (int i = 0; i < 2000; ++i)
      slots.ran(1us);
    const int bound = std::clamp(most, 0, queue_slots::max_prefetch);
    BOOST_TEST(slots.prefetch() == bound);
    BOOST_TEST(slots.claim_limit(0) == 10 + bound);
    for (int i = 0; i < 2000; ++i)
      slots.ran(5s);
    BOOST_TEST(slots.prefetch() == 0);
  }
}

BOOST_AUTO_TEST_CASE(claims_wait_for_a_quarter_of_the_capacity_and_never_exceed_it) {
  const queue_slots slots{4};
  const int capacity = 4 + slots.prefetch();
  for (int held = 0; held <= capacity + 5; ++held) {
    const int limit = slots.claim_limit(held);
    BOOST_TEST(limit >= 0);
    if (limit > 0)
      BOOST_TEST(held + limit == capacity);
    BOOST_TEST((limit > 0) == (capacity - held >= std::max(1, capacity / 4)));
  }
  for (int unwritten = 0; unwritten <= capacity; ++unwritten)
    BOOST_TEST(slots.claim_limit_beside(0, unwritten) == capacity);
  BOOST_TEST(slots.claim_limit_beside(0, 2 * capacity) == 0);
  BOOST_TEST(slots.claim_limit_beside(capacity, 0) == 0);
  queue_slots one{1};
  for (int i = 0; i < 1000; ++i)
    one.ran(10s);
  BOOST_TEST(one.claim_limit(0) == 1);
  BOOST_TEST(one.claim_limit(1) == 0);
}

BOOST_AUTO_TEST_CASE(a_lease_is_done_once_after_its_last_run_and_held_until_closed) {
  lease_book book;
  book.opened(lease_id{1}, 2);
  BOOST_TEST(book.ended(lease_id{1}));
  BOOST_TEST(!book.has_done());
  BOOST_TEST(book.ended(lease_id{1}));
  BOOST_TEST(book.ended(lease_id{1})); // one too many
  BOOST_TEST(book.take_done() == std::vector{lease_id{1}}, boost::test_tools::per_element());
  BOOST_TEST(book.take_done().empty());
  BOOST_TEST(book.holds(lease_id{1}));
  BOOST_TEST(book.unknown({lease_id{1}, lease_id{2}}) == std::vector{lease_id{2}},
             boost::test_tools::per_element());
  book.closed({lease_id{1}});
  BOOST_TEST(book.empty());
  BOOST_TEST(!book.ended(lease_id{1}));
}

BOOST_AUTO_TEST_CASE(a_kept_lease_is_never_done) {
  lease_book book;
  book.opened(lease_id{1}, 1);
  book.ended(lease_id{1});
  book.keep(lease_id{1});
  BOOST_TEST(!book.has_done());
  book.opened(lease_id{2}, 2);
  book.keep(lease_id{2});
  BOOST_TEST(book.ended(lease_id{2}));
  BOOST_TEST(book.ended(lease_id{2}));
  BOOST_TEST(!book.has_done());
  BOOST_TEST(book.holds(lease_id{2}));
  book.keep(lease_id{3}); // not ours: nothing happens
  BOOST_TEST(!book.holds(lease_id{3}));
  book.clear();
  BOOST_TEST(book.empty());
}
