// The states of nodes by their names.
#include "messages/node.hpp"

#include <boost/test/unit_test.hpp>

#include <set>
#include <string>

using namespace troupe;

BOOST_AUTO_TEST_CASE(each_state_of_a_node_has_a_name_of_its_own_that_is_read_again) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(node_state::dead); ++i) {
    const auto state = static_cast<node_state>(i);
    names.insert(to_string(state));
    BOOST_TEST((parse_node_state(to_string(state)) == state));
  }
  BOOST_TEST(names.size() == 6U);
  for (const auto* other : {"", "Alive", "alive ", "drained"})
    BOOST_TEST(!parse_node_state(other).has_value());
}
