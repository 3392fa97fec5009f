// Aligned columns.
#include "cli/table.hpp"

#include <boost/test/unit_test.hpp>

#include <clocale>

using namespace troupe::cli;

BOOST_AUTO_TEST_CASE(columns_are_aligned_and_numbers_stand_right) {
  table t({{"ID", true}, {"STATE"}, {"KIND"}});
  t.add({"7", "completed", "echo"});
  t.add({"1234", "running", "x"});
  BOOST_TEST(t.take()
             == "  ID  STATE      KIND\n"
                "   7  completed  echo\n"
                "1234  running    x\n");
}

BOOST_AUTO_TEST_CASE(a_later_portion_has_no_titles_and_stands_under_the_first) {
  table t({{"A"}, {"B"}});
  t.add({"long cell", "1"});
  t.take();
  t.add({"x", "2"});
  BOOST_TEST(t.take() == "x          2\n");
  BOOST_TEST(t.take() == "");
}

BOOST_AUTO_TEST_CASE(wide_characters_do_not_shift_the_next_column) {
  std::setlocale(LC_CTYPE, "C.UTF-8");
  table t({{"A"}, {"B"}});
  t.add({"日本", "1"});
  t.add({"abcd", "2"});
  BOOST_TEST(t.take() == "A     B\n日本  1\nabcd  2\n");
}

BOOST_AUTO_TEST_CASE(a_cell_cannot_break_the_line_or_drive_the_terminal) {
  table t({{"A"}, {"B"}});
  t.add({"x\ny", "\x1b[2J"});
  BOOST_TEST(t.take() == "A     B\nx\\ny  \\x1b[2J\n");
}

BOOST_AUTO_TEST_CASE(long_cells_are_cut_when_asked) {
  std::setlocale(LC_CTYPE, "C.UTF-8");
  table t({{"A"}}, 5);
  t.add({"abcdefgh"});
  BOOST_TEST(t.take() == "A\nabcd…\n");
}
