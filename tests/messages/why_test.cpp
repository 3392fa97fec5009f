// The reasons why a job does not run: each has its word and back.
#include "messages/why.hpp"

#include <boost/test/unit_test.hpp>

#include <set>

using namespace troupe;

BOOST_AUTO_TEST_CASE(every_reason_has_a_word_of_its_own_and_is_found_by_it) {
  std::set<std::string_view> words;
  for (int i = 0; i <= static_cast<int>(hold_reason::no_kind); ++i) {
    const auto reason = static_cast<hold_reason>(i);
    words.insert(to_string(reason));
    BOOST_TEST((parse_hold_reason(to_string(reason)) == reason));
  }
  BOOST_TEST(words.size() == 14U);
  BOOST_TEST(to_string(hold_reason::no_node) == "no_node");
  BOOST_TEST(to_string(hold_reason::turn) == "turn");
}

BOOST_AUTO_TEST_CASE(an_unknown_word_is_no_reason) {
  for (const char* word : {"", "Paused", "pause", "next "})
    BOOST_TEST(!parse_hold_reason(word).has_value(), word);
}
