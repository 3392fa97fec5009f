// The pauses between two looks, without waiting for any.
#include "cli/look_pause.hpp"

#include <boost/test/unit_test.hpp>

using troupe::cli::look_pause;

BOOST_AUTO_TEST_CASE(pauses_grow_while_nothing_changes) {
  look_pause pause{look_pause::watching};
  for (const int expected : {100, 200, 400, 800, 1600, 2000, 2000})
    BOOST_TEST(pause.after(false).count() == expected);
  BOOST_TEST(pause.after(true).count() == 100);
  BOOST_TEST(pause.after(false).count() == 200);
}

BOOST_AUTO_TEST_CASE(one_end_that_is_waited_for_is_looked_for_more_often) {
  look_pause pause{look_pause::waiting};
  for (const int expected : {20, 40, 80, 160, 320, 500, 500})
    BOOST_TEST(pause.after(false).count() == expected);
}
