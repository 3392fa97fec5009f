// The nearest word to a mistyped one.
#include "cli/suggest.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace troupe::cli;

BOOST_AUTO_TEST_CASE(the_nearest_word_is_found_and_a_far_one_is_not) {
  const std::vector<std::string> words{"list", "get", "cancel", "retry", "delete"};
  BOOST_TEST(nearest("lsit", words) == "list");
  BOOST_TEST(nearest("cancle", words) == "cancel");
  BOOST_TEST(nearest("del", words) == "delete");
  BOOST_TEST(nearest("banana", words) == "");
  BOOST_TEST(nearest("", words) == "");
  BOOST_TEST(nearest(std::string(100'000, 'x'), words) == "");
}
