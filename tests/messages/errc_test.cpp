// Error codes: each has a name of its own, and what is no code of ours says so.
#include "messages/errc.hpp"

#include <boost/test/unit_test.hpp>

#include <set>

using namespace troupe;

BOOST_AUTO_TEST_CASE(every_code_has_a_name_of_its_own) {
  std::set<std::string> names;
  for (int i = 0; i <= static_cast<int>(last_errc); ++i)
    names.insert(to_string(static_cast<errc>(i)));
  BOOST_TEST(names.size() == static_cast<std::size_t>(last_errc) + 1);
  BOOST_TEST(names.count("unknown") == 0U);
}

BOOST_AUTO_TEST_CASE(a_value_above_the_last_is_unknown) {
  BOOST_TEST(to_string(static_cast<errc>(static_cast<int>(last_errc) + 1)) == "unknown");
}
