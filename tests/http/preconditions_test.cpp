// If-Match and If-None-Match as they are read: lists of tags, and what is none.
#include "http/preconditions.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe::http;

namespace {

std::variant<std::optional<tag_list>, response> read(std::vector<head_field> fields) {
  request_head head;
  head.fields = std::move(fields);
  request_view request;
  request.head = &head;
  return read_tags(request, "If-Match");
}

std::optional<tag_list> tags(std::vector<head_field> fields) {
  auto read_ = read(std::move(fields));
  BOOST_REQUIRE(read_.index() == 0);
  return std::get<0>(std::move(read_));
}

} // namespace

BOOST_AUTO_TEST_CASE(no_such_field_is_no_list) {
  BOOST_TEST(!tags({}).has_value());
  BOOST_TEST(!tags({{"If-None-Match", "\"a\""}}).has_value());
  BOOST_TEST(std::get<0>(read_tags(request_view{}, "If-Match")).has_value() == false);
}

BOOST_AUTO_TEST_CASE(tags_are_read_from_all_fields_weak_ones_marked) {
  const auto some = tags({{"if-match", "\"a\",W/\"b,c\" ,, \"\""}, {"If-Match", "\"d\\e\""}});
  BOOST_REQUIRE((some && some->tags.size() == 4U));
  BOOST_TEST(some->tags[0].text == "a");
  BOOST_TEST(!some->tags[0].weak);
  BOOST_TEST(some->tags[1].text == "b,c");
  BOOST_TEST(some->tags[1].weak);
  BOOST_TEST(some->tags[2].text.empty());
  BOOST_TEST(some->tags[3].text == "d\\e");
  BOOST_TEST((some->names("a") && some->names("b,c") && !some->names("b") && !some->any));
}

BOOST_AUTO_TEST_CASE(a_star_stands_alone_and_names_everything) {
  const auto all = tags({{"If-Match", "*"}});
  BOOST_TEST((all && all->any && all->names("x")));
  for (const auto& both : {std::vector<head_field>{{"If-Match", "*"}, {"If-Match", "\"a\""}},
                           std::vector<head_field>{{"If-Match", "\"a\""}, {"If-Match", "*"}}})
    BOOST_TEST(std::get<response>(read(both)).status == 400);
}

BOOST_AUTO_TEST_CASE(what_is_no_tag_is_refused_with_the_name_of_the_field) {
  for (const auto* wrong : {"", ",", "a", "\"a", "a\"", "\"a\"\"b\"", "\"a\" \"b\"", "W/", "W/a",
                            "w/\"a\"", "\"a b\"", "*,*", "\"a\";"}) {
    const auto answer = read({{"If-Match", wrong}});
    BOOST_REQUIRE(answer.index() == 1);
    BOOST_TEST(std::get<response>(answer).fault->detail
               == "header If-Match: must be * or a list of entity tags");
  }
}
