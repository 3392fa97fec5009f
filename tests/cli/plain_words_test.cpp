// What is said of wrong values: no words of the parser's own.
#include "cli/plain_words.hpp"
#include "tests/cli/parsed.hpp"
#include "tests/support/says.hpp"

using namespace troupe::tests;

BOOST_AUTO_TEST_CASE(a_value_that_is_no_number_is_told_as_that) {
  BOOST_TEST(says(bad({"enqueue", "echo", "--priority", "x"}),
                  "--priority: 'x' is no whole number, or too large a one"));
  BOOST_TEST(says(bad({"enqueue", "echo", "--max-attempts", "99999999999999"}),
                  "'99999999999999' is no whole number, or too large a one"));
}

BOOST_AUTO_TEST_CASE(a_value_that_is_missing_and_one_too_many_are_told) {
  BOOST_TEST(says(bad({"enqueue", "echo", "--args"}), "--args needs a value"));
  BOOST_TEST(says(bad({"jobs", "logs", "1", "2"}), "id: at most 1 may be given, and there are 2"));
}

BOOST_AUTO_TEST_CASE(options_that_need_or_exclude_each_other_are_told) {
  BOOST_TEST(says(bad({"jobs", "list", "--all", "--limit", "3"}), "do not go together"));
  BOOST_TEST(says(bad({"export", "--stored"}), "--stored goes with --out"));
}
