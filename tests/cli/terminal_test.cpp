// What is drawn over itself.
#include "cli/terminal.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe::cli;

BOOST_AUTO_TEST_CASE(lines_go_back_over_as_many_as_were_there) {
  redrawn_lines lines;
  BOOST_TEST(lines.show({"a", "b"}) == "a\nb\n");
  BOOST_TEST(lines.show({"c"}) == "\x1b[2F\x1b[Jc\n");
  BOOST_TEST(lines.show({}) == "\x1b[1F\x1b[J");
  BOOST_TEST(lines.show({"d"}) == "d\n");
}
