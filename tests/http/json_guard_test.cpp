// The door for JSON: nasty documents, and args that must come out as they went in.
#include "http/json_guard.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <string>

using namespace troupe::http;

namespace {

std::string repeat(std::string_view text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i)
    out += text;
  return out;
}

json_error refused(std::string_view text, const json_limits& limits = {}) {
  auto read = read_json(text, limits);
  const auto* error = std::get_if<json_error>(&read);
  return error != nullptr ? *error : json_error{"ACCEPTED", "", 0};
}

/// What becomes of a value given as args.
std::string args_of(const std::string& value, const json_limits& limits = {}) {
  auto read = read_json("{\"kind\": \"x\", \"args\" : " + value + " }", limits);
  if (const auto* error = std::get_if<json_error>(&read))
    return "refused at " + error->pointer + ": " + error->detail;
  return std::get<json_value>(read).members.at(1).value.text;
}

} // namespace

BOOST_AUTO_TEST_CASE(numbers_in_args_stay_as_written) {
  for (const auto* number :
       {"0", "-0", "1", "1.10", "18446744073709551615", "18446744073709551616",
        "-9223372036854775808", "-9223372036854775809", "1e2", "1E+2", "1e-400",
        "0.1000000000000000055511151231257827", "123456789012345678901234567890"})
    BOOST_TEST(args_of(number) == number);
}

BOOST_AUTO_TEST_CASE(args_come_out_compact_and_otherwise_unchanged) {
  BOOST_TEST(
      args_of(" { \"a\" : [ 1 , {} , [ ] , null , true , \"x y\" ] , \"b\" : { \"c\" : -1 } } ")
      == R"({"a":[1,{},[],null,true,"x y"],"b":{"c":-1}})");
  BOOST_TEST(args_of(R"("a\u00e4\ud83d\ude00\n\"\\\/\u0001")")
             == "\"a\xC3\xA4\xF0\x9F\x98\x80\\n\\\"\\\\/\\u0001\"");
  BOOST_TEST(args_of("null") == "null");
  BOOST_TEST(args_of("\"\"") == "\"\"");
  BOOST_TEST(args_of(R"({"args":{"args":1}})") == R"({"args":{"args":1}})");
}

BOOST_AUTO_TEST_CASE(args_mean_the_same_to_another_parser) {
  const std::string value =
      R"({"k\/1":[1.5,-2,3e3,"\t\u007f\u2028",{"deep":[[[[false]]]]}],"":"","ü":[]})";
  BOOST_TEST((nlohmann::json::parse(args_of(value)) == nlohmann::json::parse(value)));
}

BOOST_AUTO_TEST_CASE(args_may_be_64_levels_deep_and_no_deeper) {
  const auto nested = [](std::size_t depth) { return repeat("[", depth) + repeat("]", depth); };
  BOOST_TEST(args_of(nested(64)) == nested(64));
  BOOST_TEST(args_of(nested(65)).starts_with("refused at /args/0/0"));
  BOOST_TEST(args_of(nested(65)).find("deeper than 64") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_200_KB_body_of_brackets_is_refused) {
  BOOST_TEST(refused(repeat("[", 200'000)).detail == "nested deeper than 64 levels");
  BOOST_TEST(refused(repeat("{\"a\":", 200'000)).detail == "nested deeper than 64 levels");
  BOOST_TEST(refused("{\"args\":" + repeat("[", 200'000)).detail == "nested deeper than 64 levels");
}

BOOST_AUTO_TEST_CASE(a_key_that_comes_twice_is_refused_with_its_pointer) {
  const auto error = refused(R"({"role":"viewer","role":"admin"})");
  BOOST_TEST(error.pointer == "/role");
  BOOST_TEST(error.detail == "this key occurs twice");
  BOOST_TEST(error.offset == 23U);
  BOOST_TEST(refused(R"({"args":{"x":[{"a":1},{"b":1,"c":2,"b":3}]}})").pointer == "/args/x/1/b");
  BOOST_TEST(refused(R"({"a":1,"\u0061":2})").pointer == "/a");
  std::string many = "{\"args\":{";
  for (int i = 0; i < 100; ++i)
    many += "\"k" + std::to_string(i) + "\":0,";
  BOOST_TEST(refused(many + "\"k99\":0}}").pointer == "/args/k99");
  BOOST_TEST(refused(many + "\"k5\":0}}").pointer == "/args/k5");
  BOOST_TEST(refused(many + "\"k100\":0}}").pointer == "ACCEPTED");
}

BOOST_AUTO_TEST_CASE(keys_are_escaped_in_pointers) {
  BOOST_TEST(refused(R"({"args":{"a/b~c":{"x":1,"x":2}}})").pointer == "/args/a~1b~0c/x");
}

BOOST_AUTO_TEST_CASE(nul_is_refused_wherever_it_stands) {
  BOOST_TEST(refused(R"({"a":"x\u0000y"})").pointer == "/a");
  BOOST_TEST(refused(R"({"args":["","\u0000"]})").pointer == "/args/1");
  BOOST_TEST(refused(R"({"args":{"\u0000":1}})").detail.find("NUL") != std::string::npos);
  BOOST_TEST(refused(std::string{"{\"a\":\"\0\"}", 9}).detail.find("not JSON") == 0U);
  // Behind the document a parser would take it for the end.
  const auto behind = refused(std::string{"{\"a\":1}\0{\"a\":2}", 15});
  BOOST_TEST(behind.detail == "not JSON: it holds the character NUL");
  BOOST_TEST(behind.offset == 8U);
  BOOST_TEST(refused(std::string{"{}\0", 3}).offset == 3U);
  BOOST_TEST(refused(std::string{"\0{}", 3}).detail.find("not JSON") == 0U);
}

BOOST_AUTO_TEST_CASE(numbers_beyond_all_bounds_are_refused) {
  for (const auto& number :
       {std::string{"1e400"}, std::string{"-1e400"}, "1" + repeat("0", 400), std::string{"1e-1000"},
        std::string{"0e99999999999"}, "0." + repeat("1", 600)})
    BOOST_TEST(args_of(number).starts_with("refused at /args: this number"), number);
  BOOST_TEST(refused(R"({"args":{"a":[0,1e400]}})").pointer == "/args/a/1");
}

BOOST_AUTO_TEST_CASE(what_is_not_json_is_refused_with_an_offset) {
  for (const auto* text : {"",
                           " ",
                           "nul",
                           "{",
                           "[1,]",
                           "{\"a\":}",
                           "{'a':1}",
                           "{a:1}",
                           "NaN",
                           "[Infinity]",
                           "01",
                           "+1",
                           "1.",
                           ".5",
                           "\"\\x\"",
                           "\"\t\"",
                           "{} x",
                           "{}{}",
                           "/* c */ {}",
                           "[1] // c",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"\\ud800\\ud800\"",
                           "\"\xff\"",
                           "\"\xc0\xaf\"",
                           "\"\xed\xa0\x80\"",
                           "\xEF\xBB\xBF{}",
                           "\"abc"}) {
    BOOST_TEST(refused(text).detail.find("not JSON") == 0U, text);
    BOOST_TEST(refused(text).pointer.empty(), text);
  }
  BOOST_TEST(refused("").detail == "not JSON: it is empty");
  BOOST_TEST(refused(" \r\n\t").detail == "not JSON: it is empty");
  BOOST_TEST(refused("[1,2 3]").offset == 6U);
}

BOOST_AUTO_TEST_CASE(a_fault_is_told_with_its_byte_line_and_column) {
  const auto told = [](const std::string& text) {
    const auto fault = malformed(refused(text), text);
    BOOST_TEST(fault.status == 400);
    BOOST_REQUIRE(fault.errors.size() == 1U);
    const auto& [pointer, detail] = fault.errors[0];
    BOOST_TEST(fault.detail == (pointer.empty() ? detail : pointer + ": " + detail));
    return pointer + detail.substr(detail.rfind(" ("));
  };
  BOOST_TEST(told("[1,2 3]") == " (byte 6: line 1, column 6)");
  BOOST_TEST(told("x") == " (byte 1: line 1, column 1)");
  BOOST_TEST(told("{}\nx") == " (byte 4: line 2, column 1)");
  BOOST_TEST(told("{\n \"a\": [\n   x]\n}") == " (byte 14: line 3, column 4)");
  // What ends too early is at fault behind its end.
  BOOST_TEST(told("") == " (byte 1: line 1, column 1)");
  BOOST_TEST(told("{\n") == " (byte 3: line 2, column 1)");
  BOOST_TEST(told("\xEF\xBB\xBF{}") == " (byte 1: line 1, column 1)");
  BOOST_TEST(told("{\"a\":1,\n\"a\":2}") == "/a (byte 11: line 2, column 3)");
  BOOST_TEST(told("{\"\xC3\xA4\": x}") == " (byte 8: line 1, column 8)");
}

BOOST_AUTO_TEST_CASE(an_object_has_at_most_10000_members) {
  const auto object = [](int count) {
    std::string out = "{";
    for (int i = 0; i < count; ++i)
      out += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":0";
    return out + "}";
  };
  BOOST_TEST(args_of(object(10'000)) == object(10'000));
  BOOST_TEST(args_of(object(10'001)).starts_with("refused at /args/k10000"));
}

BOOST_AUTO_TEST_CASE(args_are_bounded_in_bytes) {
  json_limits limits;
  limits.raw_bytes = 10;
  BOOST_TEST(args_of("\"12345678\"", limits) == "\"12345678\"");
  BOOST_TEST(args_of("\"123456789\"", limits).starts_with("refused at /args: args is longer"));
  BOOST_TEST(args_of("[1,2,[3,4,5]]", limits).starts_with("refused at /args: args is longer"));
}

BOOST_AUTO_TEST_CASE(values_outside_args_are_bounded_in_number) {
  json_limits limits;
  limits.values = 5;
  BOOST_TEST(refused("[1,2,3,4]", limits).pointer == "ACCEPTED");
  BOOST_TEST(refused("[1,2,3,4,5]", limits).detail == "more than 5 values");
  BOOST_TEST(refused("[[[[[[]]]]]]", limits).detail == "more than 5 values");
  BOOST_TEST(refused(R"({"args":[1,2,3,4,5,6,7,8]})", limits).pointer == "ACCEPTED");
}
