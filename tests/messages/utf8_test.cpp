// Clean UTF-8: what is valid, what becomes of what is not, and where a text may be cut.
#include "messages/utf8.hpp"

#include <boost/test/unit_test.hpp>

#include <vector>

using namespace troupe;

namespace {

// A pair of each length's first and last, and those beside the surrogates.
const std::vector<std::string> valid = {
    "\x01",         "\x7F",         "\xC2\x80",     "\xDF\xBF",         "\xE0\xA0\x80",
    "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"};
// Lone followers, overlong ones, surrogates, beyond U+10FFFF, cut short, NUL.
const std::vector<std::string> invalid = {
    "\x80",         "\xBF",         "\xC0\x80",         "\xC1\xBF",         "\xE0\x9F\xBF",
    "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
    "\xFF",         "\xC2",         "\xE2\x82",         "\xF0\x9F\x98",     std::string(1, '\0')};

} // namespace

BOOST_AUTO_TEST_CASE(a_text_is_clean_when_each_of_its_characters_is) {
  BOOST_TEST(is_clean_utf8(""));
  // At every place of a word of eight, which are looked at together.
  for (std::size_t before = 0; before < 17; ++before) {
    const std::string plain(before, 'a');
    for (const auto& one : valid)
      BOOST_TEST(is_clean_utf8(plain + one + "bcdefghij"));
    for (const auto& one : invalid) {
      BOOST_TEST(!is_clean_utf8(plain + one));
      BOOST_TEST(!is_clean_utf8(plain + one + "bcdefghij"));
    }
  }
}

BOOST_AUTO_TEST_CASE(what_is_invalid_is_replaced_and_the_rest_stays) {
  const std::string r{utf8_replacement};
  BOOST_TEST(clean_utf8("") == "");
  BOOST_TEST(clean_utf8("gr\xC3\xBC\xC3\x9F") == "gr\xC3\xBC\xC3\x9F");
  BOOST_TEST(clean_utf8("a\xFFz") == "a" + r + "z");
  BOOST_TEST(clean_utf8(std::string("a\0z", 3)) == "a" + r + "z");
  BOOST_TEST(clean_utf8("caf\xC3") == "caf" + r);
  BOOST_TEST(clean_utf8("\xE2\x82z") == r + r + "z"); // one for each byte
  for (const auto& one : invalid)
    BOOST_TEST(is_clean_utf8(clean_utf8("before" + one + "behind it")));
}

BOOST_AUTO_TEST_CASE(a_cut_never_goes_through_a_character) {
  const std::string text = "a\xC3\xBC\xE2\x82\xAC\xF0\x9F\x98\x80"; // ends at 1, 3, 6 and 10
  const std::vector<std::size_t> expected = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
  for (std::size_t limit = 0; limit < expected.size(); ++limit)
    BOOST_TEST(cut_utf8(text, limit) == text.substr(0, expected[limit]));
}
