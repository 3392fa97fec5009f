// The text of a token: what is made can be read, and no typing error passes.
#include "http/bearer_token.hpp"

#include <boost/test/unit_test.hpp>

#include <set>

using troupe::http::bearer_of;
using troupe::http::bearer_token;

namespace {

/// Made elsewhere, with zlib's CRC-32.
const std::string known = "trp_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg0gSfhe";

std::string hex(const std::string& bytes) {
  std::string out;
  for (const unsigned char c : bytes)
    for (const int half : {c >> 4, c & 15})
      out += "0123456789abcdef"[half];
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_token_made_elsewhere_is_read) {
  const auto token = bearer_token::parse(known);
  BOOST_REQUIRE(token.has_value());
  BOOST_TEST(token->secret() == known);
  BOOST_TEST(token->hint() == "trp_01234567");
  BOOST_TEST(hex(token->hash())
             == "b5ef32265fbe8368cf61fd8cf259459fffdc4aed2fe693f4a4448004df6bf911");
}

BOOST_AUTO_TEST_CASE(what_is_made_is_read_and_never_made_again) {
  std::set<std::string> all;
  std::set<char> seen;
  for (int i = 0; i < 1000; ++i) {
    const auto token = bearer_token::make();
    const auto again = bearer_token::parse(token.secret());
    BOOST_REQUIRE(again.has_value());
    BOOST_TEST(again->hash() == token.hash());
    all.insert(token.secret());
    seen.insert(token.secret().begin() + 4, token.secret().begin() + 47);
  }
  BOOST_TEST(all.size() == 1000U);
  BOOST_TEST(seen.size() == 62U);
}

BOOST_AUTO_TEST_CASE(every_single_wrong_character_is_noticed) {
  for (std::size_t i = 0; i < known.size(); ++i)
    for (int c = 0; c < 256; ++c) {
      auto text = known;
      text[i] = static_cast<char>(c);
      BOOST_TEST(bearer_token::parse(text).has_value() == (text == known));
    }
}

BOOST_AUTO_TEST_CASE(two_neighbours_that_changed_places_are_noticed) {
  for (std::size_t i = 0; i + 1 < known.size(); ++i) {
    auto text = known;
    std::swap(text[i], text[i + 1]);
    BOOST_TEST(!bearer_token::parse(text).has_value());
  }
}

BOOST_AUTO_TEST_CASE(another_length_is_no_token) {
  for (std::size_t i = 0; i < known.size(); ++i)
    BOOST_TEST(!bearer_token::parse(known.substr(0, i)).has_value());
  BOOST_TEST(!bearer_token::parse(known + "0").has_value());
  BOOST_TEST(!bearer_token::parse(known + "\n").has_value());
}

BOOST_AUTO_TEST_CASE(the_header_holds_one_word_behind_bearer) {
  for (const auto* text : {"Bearer abc", "bearer abc", "BEARER  abc", "Bearer abc \t"}) {
    const auto word = bearer_of(text);
    BOOST_REQUIRE_MESSAGE(word.has_value(), text);
    BOOST_TEST(*word == "abc");
  }
  for (const auto* text :
       {"", "Bearer", "Bearer ", "Bearer\tabc", "Bearerabc", "Basic abc", "Bearer a b", "abc"})
    BOOST_TEST(!bearer_of(text).has_value());
}
