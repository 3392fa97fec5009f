// The words of a SQL text, behind whatever may stand before them.
#include "db/words.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe::db;

namespace {

std::string first(std::string_view text) {
  return take_word(text);
}

} // namespace

BOOST_AUTO_TEST_CASE(words_come_in_lower_case_one_after_the_other) {
  std::string_view text = "Rollback  TO\tsavepoint a";
  BOOST_TEST(take_word(text) == "rollback");
  BOOST_TEST(take_word(text) == "to");
  BOOST_TEST(take_word(text) == "savepoint");
  BOOST_TEST(take_word(text) == "a");
  BOOST_TEST(take_word(text).empty());
}

BOOST_AUTO_TEST_CASE(blanks_semicolons_and_comments_are_passed_over) {
  BOOST_TEST(first(" ;\n; begin") == "begin");
  BOOST_TEST(first("-- one\n--two\r\ncommit") == "commit");
  BOOST_TEST(first("/* a /* nested */ one */ end") == "end");
  BOOST_TEST(first("/**/select") == "select");
}

BOOST_AUTO_TEST_CASE(where_no_word_stands_there_is_none) {
  for (const auto* text : {"", "   ", "-- only a comment", "/* never ended", "(select 1)", "$1"})
    BOOST_TEST(first(text).empty(), text);
}

BOOST_AUTO_TEST_CASE(a_text_begins_with_a_whole_word_only) {
  BOOST_TEST(begins_with("/* a */ BEGIN", "begin"));
  BOOST_TEST(begins_with("copy(select 1) to stdout", "copy"));
  BOOST_TEST(!begins_with("beginning", "begin"));
  BOOST_TEST(!begins_with("beg", "begin"));
  BOOST_TEST(!begins_with("-- begin", "begin"));
}
