// Which jobs are meant, from options to a query and to a body, the same for list, export and bulk.
#include "cli/filter_options.hpp"
#include "tests/cli/parsed.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::cli;
using namespace troupe::tests;

namespace {

const std::vector<std::string> all_options{"--state",
                                           "available",
                                           "--queue",
                                           "q",
                                           "--kind",
                                           "k",
                                           "--tag",
                                           "a&b",
                                           "--tag",
                                           "ä",
                                           "--limit-key",
                                           "c 7",
                                           "--created-from",
                                           "2030-01-31T08:00:00+01:00",
                                           "--created-before",
                                           "2030-02-28T08:00:00Z",
                                           "--args",
                                           R"({"n":1.50})"};

std::vector<std::string> behind(std::vector<std::string> command) {
  command.insert(command.end(), all_options.begin(), all_options.end());
  return command;
}

} // namespace

BOOST_AUTO_TEST_CASE(options_become_a_query_and_a_body) {
  for (const auto& command : std::vector<std::vector<std::string>>{
           {"jobs", "list"}, {"export"}, {"jobs", "bulk", "cancel"}}) {
    const auto found = good(behind(command));
    const filter_settings& filter =
        command.back() == "cancel" ? static_cast<const filter_settings&>(found.bulk) : found.list;
    BOOST_TEST(is_given(filter));
    BOOST_TEST(filter_query(filter)
               == "&state=available&queue=q&kind=k&tag=a%26b&tag=%C3%A4&limit_key=c%207"
                  "&created_from=2030-01-31T08%3A00%3A00%2B01%3A00"
                  "&created_before=2030-02-28T08%3A00%3A00Z&args=%7B%22n%22%3A1.50%7D");
    BOOST_TEST(filter_members(filter)
               == R"("state":"available","queue":"q","kind":"k","tags":["a&b","ä"],)"
                  R"("limit_key":"c 7","created_from":"2030-01-31T08:00:00+01:00",)"
                  R"("created_before":"2030-02-28T08:00:00Z","args":{"n":1.50})");
  }
  const filter_settings nothing;
  BOOST_TEST(!is_given(nothing));
  BOOST_TEST(filter_query(nothing) == "");
  BOOST_TEST(filter_members(nothing) == "");
  BOOST_TEST(is_given(good({"jobs", "list", "--tag", "a"}).list));
  BOOST_TEST(is_given(good({"jobs", "list", "--args", R"({"a":1})"}).list));
}

BOOST_AUTO_TEST_CASE(what_no_server_takes_is_refused_before_it_is_asked) {
  for (const auto* args : {"", "{", "[1]", "7", "null", "\"a\"", "{\"a\":1} x"})
    BOOST_TEST(bad({"jobs", "list", "--args", args}).find("--args is not a JSON object")
                   != std::string::npos,
               args);
  BOOST_TEST(bad({"export", "--args", "7"}).find("--args") != std::string::npos);
  BOOST_TEST(bad({"jobs", "bulk", "cancel", "--args", "7"}).find("--args") != std::string::npos);
  std::vector<std::string> many{"jobs", "list"};
  for (int i = 0; i < 10; ++i)
    many.insert(many.end(), {"--tag", "a"});
  BOOST_TEST(good(std::vector{many}).list.tags.size() == 10U);
  many.insert(many.end(), {"--tag", "a"});
  BOOST_TEST(bad(std::vector{many}).find("--tag may come 10 times") != std::string::npos);
  BOOST_TEST(bad({"jobs", "list", "--state", "odd"}).find("odd") != std::string::npos);
}
