// The commands as data: what completion and the manual page are made of.
#include "cli/command_tree.hpp"
#include "cli/options.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <set>

using namespace troupe::cli;

namespace {

const command_entry& at(const command_entry& from, const std::string& name) {
  const auto found = std::find_if(from.commands.begin(), from.commands.end(),
                                  [&](const auto& each) { return each.name == name; });
  BOOST_REQUIRE_MESSAGE(found != from.commands.end(), name);
  return *found;
}

const option_entry& option(const command_entry& of, const std::string& name) {
  const auto found = std::find_if(of.options.begin(), of.options.end(), [&](const auto& each) {
    return each.place == name
           || std::find(each.names.begin(), each.names.end(), name) != each.names.end();
  });
  BOOST_REQUIRE_MESSAGE(found != of.options.end(), name);
  return *found;
}

template<class Visit>
void walk(const command_entry& command, const Visit& visit) {
  visit(command);
  for (const auto& each : command.commands)
    walk(each, visit);
}

using words = std::vector<std::string>;

} // namespace

BOOST_AUTO_TEST_CASE(every_command_is_there_with_what_it_says_of_itself) {
  const auto program = describe_commands();
  BOOST_TEST(program.name == "troupe");
  for (const auto* name :
       {"dev", "serve", "migrate", "enqueue", "jobs", "queues", "nodes", "tokens", "scrape", "top",
        "bench", "doctor", "config", "completion", "man", "version"})
    BOOST_TEST(!at(program, name).description.empty(), name);
  for (const auto* name : {"list", "counts", "get", "logs", "why", "cancel", "retry", "delete"})
    BOOST_TEST(at(at(program, "jobs"), name).commands.empty(), name);
  const std::set<std::string> groups{"troupe", "jobs",      "queues", "nodes", "exports",
                                     "audit",  "retention", "tokens", "bench", "config"};
  walk(program, [&](const command_entry& command) {
    BOOST_TEST(command.commands.empty() == (groups.count(command.name) == 0), command.name);
    for (const auto& each : command.options)
      BOOST_TEST(!each.description.empty(), command.name + " " + each.place);
  });
}

BOOST_AUTO_TEST_CASE(an_option_is_known_with_the_form_of_its_value) {
  const auto program = describe_commands();
  const auto& list = at(at(program, "jobs"), "list");
  const auto& state = option(list, "--state");
  BOOST_TEST((state.form == value_form::choice));
  BOOST_TEST((state.choices
              == words{"pending", "scheduled", "available", "running", "retryable", "completed",
                       "cancelled", "discarded"}));
  BOOST_TEST(option(list, "--limit").range == "1 - 1000000000");
  BOOST_TEST(option(list, "--limit").default_text == "50");
  BOOST_TEST((option(list, "--limit").form == value_form::text));
  BOOST_TEST((option(list, "--all").form == value_form::none));
  BOOST_TEST((option(list, "--help").names == words{"-h", "--help"}));
  BOOST_TEST(option(list, "--url").variable == "TROUPE_URL");
  const auto& serve = at(program, "serve");
  BOOST_TEST((option(serve, "--config").form == value_form::file));
  BOOST_TEST((option(serve, "--password-file").form == value_form::file));
  BOOST_TEST((option(serve, "--data-dir").form == value_form::directory));
  BOOST_TEST(option(serve, "--max-waiting").key == "database.max_waiting");
  BOOST_TEST(option(serve, "--max-waiting").variable == "TROUPE_MAX_WAITING");
  BOOST_TEST(option(serve, "--allow-host").several);
  BOOST_TEST(!option(serve, "--listen").several);
  BOOST_TEST((option(at(program, "scrape"), "--out").form == value_form::file));
}

BOOST_AUTO_TEST_CASE(places_have_no_names_and_keep_their_order) {
  const auto program = describe_commands();
  const auto& bulk = at(at(program, "jobs"), "bulk");
  BOOST_TEST(option(bulk, "action").names.empty());
  BOOST_TEST((option(bulk, "action").form == value_form::choice));
  BOOST_TEST(option(bulk, "action").required);
  BOOST_TEST(option(bulk, "id").several);
  BOOST_TEST(&option(bulk, "action") < &option(bulk, "id"));
  BOOST_TEST(option(at(at(program, "jobs"), "cancel"), "id").several);
  BOOST_TEST(!option(at(at(program, "jobs"), "logs"), "id").several);
}
