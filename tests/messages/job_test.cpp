// The states and names of jobs: every state has its name and back, and names keep their alphabet.
#include "messages/job.hpp"

#include <boost/test/unit_test.hpp>

#include <set>
#include <string>

using namespace troupe;

BOOST_AUTO_TEST_CASE(every_state_has_a_name_of_its_own_and_is_found_by_it) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(job_state::discarded); ++i) {
    const auto state = static_cast<job_state>(i);
    names.insert(to_string(state));
    BOOST_TEST((parse_job_state(to_string(state)) == state));
  }
  BOOST_TEST(names.size() == 8);
}

BOOST_AUTO_TEST_CASE(an_unknown_state_is_nothing) {
  for (const char* word : {"", "Running", "running ", "done", "runnin"})
    BOOST_TEST(!parse_job_state(word).has_value(), word);
}

BOOST_AUTO_TEST_CASE(exactly_the_three_ends_are_final) {
  std::set<std::string_view> finals;
  for (int i = 0; i <= static_cast<int>(job_state::discarded); ++i) {
    if (is_final(static_cast<job_state>(i)))
      finals.insert(to_string(static_cast<job_state>(i)));
  }
  BOOST_TEST((finals == std::set<std::string_view>{"completed", "cancelled", "discarded"}));
}

BOOST_AUTO_TEST_CASE(outcomes_keep_the_numbers_that_are_stored) {
  BOOST_TEST(static_cast<int>(outcome::completed) == 1);
  BOOST_TEST(static_cast<int>(outcome::cancelled) == 2);
  BOOST_TEST(static_cast<int>(outcome::discarded) == 3);
  BOOST_TEST(static_cast<int>(outcome::failed) == 4);
  BOOST_TEST(static_cast<int>(outcome::lost) == 5);
  BOOST_TEST(to_string(outcome::lost) == "lost");
  BOOST_TEST(to_string(outcome::failed) == "failed");
}

BOOST_AUTO_TEST_CASE(a_name_is_letters_digits_and_four_marks) {
  for (const char* name : {"a", "default", "A-z_0.9:x", "scrape.page"})
    BOOST_TEST(is_valid_name(name), name);
  for (const char* name : {"", "a b", "a/b", "caf\xc3\xa9", "a\n", "\"", "a;drop", "*"})
    BOOST_TEST(!is_valid_name(name), name);
  BOOST_TEST(!is_valid_name(std::string_view("a\0b", 3)));
}

BOOST_AUTO_TEST_CASE(a_name_has_at_most_128_characters) {
  BOOST_TEST(is_valid_name(std::string(128, 'x')));
  BOOST_TEST(!is_valid_name(std::string(129, 'x')));
}
