// The filter of jobs from a query and from a body: every field, its bounds, and what is refused.
#include "http/filter_fields.hpp"
#include "http/problem.hpp"
#include "http/router.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::http;

namespace {

struct reading {
  job_filter filter;
  std::string fault; ///< empty: none
};

reading from_query(std::string_view query) {
  reading out;
  auto parameters = parse_query(query);
  BOOST_REQUIRE(parameters.has_value());
  for (auto& [name, value] : *parameters) {
    std::optional<response> fault;
    BOOST_TEST(read_filter(name, value, out.filter, fault), name);
    if (fault && out.fault.empty())
      out.fault = fault->fault->detail;
  }
  return out;
}

reading from_body(std::string_view body) {
  reading out;
  auto document = read_json(body, {});
  BOOST_REQUIRE(std::holds_alternative<json_value>(document));
  for (auto& [name, value] : std::get<json_value>(document).members)
    BOOST_TEST(read_filter(name, value, "/" + name, out.filter,
                           [&](const std::string& pointer, const std::string&) {
                             if (out.fault.empty())
                               out.fault = pointer;
                           }),
               name);
  return out;
}

std::string times(std::size_t count, const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i)
    out += text;
  return out;
}

std::string nested(int levels) {
  std::string out;
  for (int i = 1; i < levels; ++i)
    out += R"({"a":)";
  return out + R"({"a":1})" + std::string(static_cast<std::size_t>(levels - 1), '}');
}

} // namespace

BOOST_AUTO_TEST_CASE(a_query_and_a_body_say_the_same) {
  const auto query =
      from_query("state=running&queue=q&kind=k&tag=a%20b&tag=%C3%A4&limit_key=c-7"
                 "&created_from=2030-01-31T09:00:00%2B01:00&created_before=2030-01-31T08:00:00.5Z"
                 "&args=%7B%22customer%22%3A%20%7B%22id%22%3A7%7D%7D");
  const auto body = from_body(
      R"({"state":"running","queue":"q","kind":"k","tags":["a b","ä"],"limit_key":"c-7",
          "created_from":"2030-01-31T08:00:00Z","created_before":"2030-01-31T08:00:00.500Z",
          "args":{"customer": {"id": 7}}})");
  BOOST_TEST(query.fault == "");
  BOOST_TEST(body.fault == "");
  BOOST_TEST((query.filter == body.filter));
  BOOST_TEST((query.filter.state == job_state::running));
  BOOST_TEST(query.filter.queue.value() == "q");
  BOOST_TEST(query.filter.kind.value() == "k");
  BOOST_TEST((query.filter.tags == std::vector<std::string>{"a b", "ä"}));
  BOOST_TEST(query.filter.limit_key.value() == "c-7");
  BOOST_TEST((*query.filter.created_before - *query.filter.created_from
              == std::chrono::milliseconds{500}));
  BOOST_TEST(query.filter.args == R"({"customer":{"id":7}})");
  std::string shown = "{\"first\":1";
  append_filter(shown, query.filter, "state");
  BOOST_TEST((from_body("{" + shown.substr(11) + "}").filter == query.filter));
  std::string none = "{\"first\":1";
  append_filter(none, {}, "job_state");
  BOOST_TEST(none
             == R"({"first":1,"job_state":null,"queue":null,"kind":null,"tags":null,)"
                R"("limit_key":null,"created_from":null,"created_before":null,"args":null)");
}

BOOST_AUTO_TEST_CASE(bounds_are_exact) {
  const std::string longest_tag(limits::tag_length, 't');
  BOOST_TEST(from_query(times(limits::filter_tags, "&tag=" + longest_tag)).fault == "");
  BOOST_TEST(from_query(times(limits::filter_tags + 1, "&tag=a"))
                 .fault.starts_with("query parameter tag: there may be 10"));
  BOOST_TEST(from_query("tag=" + longest_tag + "t").fault.starts_with("query parameter tag: must"));
  BOOST_TEST(from_query("limit_key=" + std::string(limits::limit_key_length, 'k')).fault == "");
  BOOST_TEST(from_query("limit_key=" + std::string(limits::limit_key_length + 1, 'k')).fault != "");
  const auto args_of = [](std::size_t bytes) {
    return R"({"a":")" + std::string(bytes - 8, 'x') + R"("})";
  };
  const auto both = [](const std::string& args) {
    const auto query = from_query("args=" + args).fault;
    BOOST_TEST(query.empty() == from_body(R"({"args":)" + args + "}").fault.empty(), args);
    return query;
  };
  BOOST_TEST(both(args_of(limits::filter_args_bytes)) == "");
  BOOST_TEST(both(args_of(limits::filter_args_bytes + 1)) != "");
  BOOST_TEST(from_query("args=" + nested(limits::filter_args_depth)).fault == "");
  BOOST_TEST(from_query("args=" + nested(limits::filter_args_depth + 1)).fault
             == "query parameter args: is not JSON that can be asked for: nested deeper than 8 "
                "levels");
  BOOST_TEST(from_query("created_from=0001-01-01T00:00:00Z").fault == "");
  BOOST_TEST(from_query("created_before=9999-12-31T23:59:59Z").fault == "");
  for (const auto* time :
       {"0000-12-31T23:59:59Z", "0001-01-01T00:00:00%2B00:01", "9999-12-31T23:59:59-00:01"})
    BOOST_TEST(from_query("created_from=" + std::string{time}).fault
                   == "query parameter created_from: must be an RFC 3339 time with its zone, such "
                      "as 2030-01-31T08:00:00Z",
               time);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_in_a_query_is_told_by_its_name) {
  for (const auto* wrong : {"state=odd",
                            "state=",
                            "queue=",
                            "queue=a%20b",
                            "queue='",
                            "kind=",
                            "kind=%FF",
                            "tag=",
                            "tag=%FF",
                            "tag=%C0%AF",
                            "tag=%ED%A0%80",
                            "limit_key=",
                            "limit_key=%F5",
                            "created_from=",
                            "created_from=soon",
                            "created_from=2030-01-31",
                            "created_from=2030-01-31T08:00:00",
                            "created_from=2030-02-30T08:00:00Z",
                            "created_before=1",
                            "created_before=2030-01-31T08:00Z",
                            "args=",
                            "args={}",
                            "args=7",
                            "args=[1]",
                            "args=null",
                            "args=\"a\"",
                            "args={",
                            "args={a:1}",
                            "args={\"a\":1}}",
                            "args={\"a\":1},\"b\":{\"c\":1}",
                            "args={\"a\":1},\"args\":{}",
                            "args={\"a\":1}//",
                            "args={\"a\":\"%FF\"}",
                            "args={\"a\":\"\\u0000\"}",
                            "args={\"a\":1e9999}",
                            "args={\"a\":1,\"a\":2}",
                            "args=%7B%22a%22%3A1%7D%20x"}) {
    const std::string text{wrong};
    const auto fault = from_query(text).fault;
    BOOST_TEST(fault.starts_with("query parameter " + text.substr(0, text.find('=')) + ": "),
               text << " is told as " << fault);
  }
  BOOST_TEST(!parse_query("tag=a%00b"));
  BOOST_TEST(!parse_query("queue=a&queue=b"));
  BOOST_TEST(!parse_query("args={}&args={}"));
  BOOST_TEST(parse_query("tag=a&tag=b&tag=a")->size() == 3U);
  job_filter filter;
  std::optional<response> fault;
  for (const std::string name : {"tags", "created_after", "created", "Tag", "limit", ""}) {
    std::string value = "a";
    BOOST_TEST(!read_filter(name, value, filter, fault), name);
  }
}

BOOST_AUTO_TEST_CASE(what_is_wrong_in_a_body_is_told_by_its_pointer) {
  for (const auto& [body, pointer] : std::vector<std::pair<std::string, std::string>>{
           {R"({"state":7})", "/state"},
           {R"({"state":null})", "/state"},
           {R"({"queue":"a b"})", "/queue"},
           {R"({"kind":[]})", "/kind"},
           {R"({"tags":"a"})", "/tags"},
           {R"({"tags":[]})", "/tags"},
           {R"({"tags":{"a":"b"}})", "/tags"},
           {R"({"tags":["a",""]})", "/tags/1"},
           {R"({"tags":["a","b",7]})", "/tags/2"},
           {R"({"tags":["1","2","3","4","5","6","7","8","9","10","11"]})", "/tags"},
           {R"({"limit_key":""})", "/limit_key"},
           {R"({"created_from":17})", "/created_from"},
           {R"({"created_before":"2030-01-31"})", "/created_before"},
           {R"({"args":{}})", "/args"},
           {R"({"args":[{"a":1}]})", "/args"},
           {R"({"args":"{\"a\":1}"})", "/args"},
           {R"({"args":null})", "/args"}})
    BOOST_TEST(from_body(body).fault == pointer, body);
}

BOOST_AUTO_TEST_CASE(hostile_texts_are_texts) {
  for (const std::string text :
       {"'; drop table troupe.jobs; --", "' or '1'='1", "$1", "{a,b}", "%25", "\\", "\"", "null"}) {
    std::string value = text;
    job_filter filter;
    std::optional<response> fault;
    BOOST_TEST(read_filter("tag", value, filter, fault));
    BOOST_TEST(!fault.has_value());
    BOOST_TEST(filter.tags.at(0) == text);
    value = text;
    BOOST_TEST(read_filter("queue", value, filter, fault));
    BOOST_TEST(fault.has_value() == (text != "null"), text);
  }
}
