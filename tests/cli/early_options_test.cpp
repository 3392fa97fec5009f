// Options before the command, as other programs allow them.
#include "tests/cli/parsed.hpp"
#include "tests/support/says.hpp"

using namespace troupe::cli;
using namespace troupe::tests;

BOOST_AUTO_TEST_CASE(what_says_which_server_is_asked_may_stand_before_the_command) {
  const auto list = good({"--url", "http://h:1", "--json", "jobs", "list", "--limit", "7"});
  BOOST_TEST((list.what == command::jobs_list));
  BOOST_TEST(list.client.url == "http://h:1");
  BOOST_TEST(list.json);
  BOOST_TEST(list.list.limit == 7);
  BOOST_TEST(good({"jobs", "--url=http://h:2", "get", "5"}).client.url == "http://h:2");
  BOOST_TEST(good({"--request-timeout", "3", "enqueue", "jobs"}).client.timeout == 3);
  BOOST_TEST(good({"--request-timeout", "3", "enqueue", "jobs"}).enqueue.kind == "jobs");
}

BOOST_AUTO_TEST_CASE(a_value_that_is_called_like_a_command_stays_a_value) {
  BOOST_TEST(good({"--url", "jobs", "jobs", "list"}).client.url == "jobs");
  BOOST_TEST((good({"queues", "show", "list"}).ids == std::vector<std::string>{"list"}));
}

BOOST_AUTO_TEST_CASE(an_option_that_belongs_behind_its_command_is_not_proposed_for_itself) {
  BOOST_TEST(says(bad({"--slots", "3", "dev"}), "put --slots behind 'dev'"));
  BOOST_TEST(says(bad({"--url", "http://h:1"}), "Exit codes:")); // the whole help
  BOOST_TEST(says(bad({"--url", "http://h:1", "jobs"}), "which command? There are list, "));
  BOOST_TEST(says(bad({"--url", "http://h:1", "jbs", "list"}), "did you mean jobs?"));
  BOOST_TEST(says(bad({"--url", "http://h:1", "version"}), "there is no option --url"));
  BOOST_TEST(says(bad({"--url"}), "--url"));
}
