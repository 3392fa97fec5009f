// What a terminal may be given.
#include "cli/text.hpp"

#include <boost/test/unit_test.hpp>

#include <clocale>
#include <string>

using namespace troupe::cli;

namespace {
struct widths {
  widths() { std::setlocale(LC_CTYPE, "C.UTF-8"); }
};
} // namespace

BOOST_TEST_GLOBAL_FIXTURE(widths);

BOOST_AUTO_TEST_CASE(escape_sequences_cannot_reach_the_terminal) {
  BOOST_TEST(printable("a\x1b[31mred\x07") == "a\\x1b[31mred\\x07");
  BOOST_TEST(printable("line\r\nnext\tcell") == "line\\r\\nnext\\tcell");
  BOOST_TEST(printable("\xC2\x9B"
                       "2J\x7F")
             == "\\x9b2J\\x7f");
  BOOST_TEST(printable(std::string{"a\0b", 3}) == "a\\x00b");
}

BOOST_AUTO_TEST_CASE(marks_that_turn_the_direction_are_shown) {
  BOOST_TEST(printable("abc\u202Etxt.exe") == "abc\\u{202e}txt.exe");
  BOOST_TEST(printable("\u2066x") == "\\u{2066}x");
}

BOOST_AUTO_TEST_CASE(what_is_not_utf8_is_replaced_and_other_languages_are_kept) {
  BOOST_TEST(printable("\xFFz\xC0\xAF") == "\uFFFDz\uFFFD\uFFFD");
  BOOST_TEST(printable("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");
  BOOST_TEST(printable("\xE2\x82") == "\uFFFD\uFFFD");
  BOOST_TEST(printable("Grüße, 日本 🎭") == "Grüße, 日本 🎭");
}

BOOST_AUTO_TEST_CASE(json_stays_the_same_value) {
  BOOST_TEST(printable_json("{\"a\":\"x\u009by\u202e\"}") == "{\"a\":\"x\\u009by\\u202e\"}");
  BOOST_TEST(printable_json("{\"n\":12345678901234567890123}")
             == "{\"n\":12345678901234567890123}");
  BOOST_TEST(printable_json("{\n\"a\": 1}") == "{ \"a\": 1}");
}

BOOST_AUTO_TEST_CASE(wide_and_combining_characters_are_measured) {
  BOOST_TEST(display_width("abc") == 3);
  BOOST_TEST(display_width("日本") == 4);
  BOOST_TEST(display_width("e\u0301") == 1);
}

BOOST_AUTO_TEST_CASE(a_cut_text_fits_and_ends_in_an_ellipsis) {
  BOOST_TEST(cut_to_width("abcdef", 6) == "abcdef");
  BOOST_TEST(cut_to_width("abcdef", 4) == "abc…");
  BOOST_TEST(cut_to_width("日本語", 4) == "日…");
  BOOST_TEST(cut_to_width("abc", 0) == "");
}

BOOST_AUTO_TEST_CASE(sizes_and_times_read_well) {
  BOOST_TEST(bytes_text(0) == "0 B");
  BOOST_TEST(bytes_text(999) == "999 B");
  BOOST_TEST(bytes_text(12'345'678) == "12.3 MB");
  BOOST_TEST(bytes_text(999'999) == "1.0 MB");
  BOOST_TEST(duration_text(7.9) == "0:07");
  BOOST_TEST(duration_text(3599) == "59:59");
  BOOST_TEST(duration_text(10'931) == "3:02:11");
}

BOOST_AUTO_TEST_CASE(raw_members_keep_their_numbers) {
  const std::string text =
      R"({"a":{"x":"}\","},"big":12345678901234567890123,"l":[1,{"y":2}], "n":null})";
  BOOST_TEST(raw_member(text, "a") == R"({"x":"}\","})");
  BOOST_TEST(raw_member(text, "big") == "12345678901234567890123");
  BOOST_TEST(raw_member(text, "l") == R"([1,{"y":2}])");
  BOOST_TEST(raw_member(text, "n") == "null");
  BOOST_TEST(raw_member(text, "x") == "");
  BOOST_TEST(raw_member("{}", "x") == "");
}

BOOST_AUTO_TEST_CASE(raw_elements_are_cut_at_their_commas_only) {
  const auto found = raw_elements(R"([{"a":[1,2]}, "x,]" ,3])");
  BOOST_REQUIRE(found.size() == 3);
  BOOST_TEST(found[0] == R"({"a":[1,2]})");
  BOOST_TEST(found[1] == R"("x,]")");
  BOOST_TEST(found[2] == "3");
  BOOST_TEST(raw_elements("[]").empty());
  BOOST_TEST(raw_elements("null").empty());
}

BOOST_AUTO_TEST_CASE(a_password_of_a_url_is_not_told) {
  BOOST_TEST(without_password("http://ada:s3cret@h:1/x") == "http://ada:***@h:1/x");
  BOOST_TEST(without_password("http://ada:s3/c@ret@h") == "http://ada:***@h");
  BOOST_TEST(without_password("ada:s3cret@h:1") == "ada:***@h:1");
  BOOST_TEST(without_password("http://:s3cret@h") == "http://:***@h");
  BOOST_TEST(without_password("http://ada@h:1") == "http://ada@h:1");
  BOOST_TEST(without_password("http://h:1/x") == "http://h:1/x");
  BOOST_TEST(without_password("unix:/run/t.sock") == "unix:/run/t.sock");
}
