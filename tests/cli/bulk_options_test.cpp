// What `troupe jobs bulk` and `troupe jobs edit` ask the server for, and what does not go together.
#include "cli/bulk_options.hpp"
#include "tests/cli/parsed.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::cli;
using namespace troupe::tests;

namespace {

std::string bulk(std::vector<std::string> arguments, bool dry_run = false) {
  arguments.insert(arguments.begin(), {"jobs", "bulk"});
  return bulk_body(good(std::move(arguments)).bulk, dry_run);
}

std::string edit(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"jobs", "edit", "7"});
  return edit_body(good(std::move(arguments)).edit);
}

} // namespace

BOOST_AUTO_TEST_CASE(options_become_the_request) {
  BOOST_TEST(bulk({"cancel", "--queue", "mail", "--state", "available"})
             == R"({"action":"cancel","filter":{"state":"available","queue":"mail"}})");
  BOOST_TEST(bulk({"delete", "--all"}, true)
             == R"({"action":"delete","filter":{"all":true},"dry_run":true})");
  BOOST_TEST(bulk({"move", "3", "4", "--to-queue", "b", "--to-priority", "2"})
             == R"({"action":"move","ids":["3","4"],"to":{"queue":"b","priority":2}})");
  BOOST_TEST(bulk({"cancel", "--kind", "a", "--tag", "\"", "--limit-key", "k", "--created-after",
                   "2030-01-31T08:00:00Z", "--created-before", "2030-02-28T08:00:00Z"})
             == R"({"action":"cancel","filter":{"kind":"a","tags":["\""],"limit_key":"k",)"
                R"("created_from":"2030-01-31T08:00:00Z",)"
                R"("created_before":"2030-02-28T08:00:00Z"}})");
  BOOST_TEST(good({"jobs", "bulk", "stop", "5"}).bulk.ids.front() == "5");
}

BOOST_AUTO_TEST_CASE(what_is_deleted_by_a_filter_is_typed_once_more) {
  const auto asked = [](std::vector<std::string> words) {
    words.insert(words.begin(), {"jobs", "bulk"});
    return good(words).bulk;
  };
  BOOST_TEST(is_confirmed(asked({"delete", "--queue", "post", "--confirm", "post"})));
  BOOST_TEST(is_confirmed(asked({"delete", "--kind", "a", "--confirm", "all"})));
  BOOST_TEST(is_confirmed(asked({"delete", "7", "--yes"})));
  BOOST_TEST(is_confirmed(asked({"cancel", "--queue", "post", "--yes"})));
  BOOST_TEST(!is_confirmed(asked({"cancel", "--queue", "post"})));
  const auto hasty = asked({"delete", "--queue", "post", "--yes"});
  BOOST_TEST(!is_confirmed(hasty));
  BOOST_TEST(confirmation(hasty) == "--confirm post");
  BOOST_TEST(confirmation(asked({"delete", "--all"})) == "--confirm all");
  BOOST_TEST(confirmation(asked({"retry", "7"})) == "--yes");
}

BOOST_AUTO_TEST_CASE(an_edit_sends_what_was_given) {
  BOOST_TEST(edit({"--priority", "2"}) == R"({"priority":2})");
  BOOST_TEST(edit({"--args", R"({"n":1.50})", "--queue", "q", "--max-attempts", "3"})
             == R"({"args":{"n":1.50},"queue":"q","max_attempts":3})");
  BOOST_TEST(edit({"--timeout-ms", "none", "--no-tags", "--run-at", "now"})
             == R"({"timeout_ms":null,"tags":[],"run_at":null})");
  BOOST_TEST(edit({"--timeout-ms", "50", "--tag", "a", "--tag", "b"})
             == R"({"timeout_ms":50,"tags":["a","b"]})");
}

BOOST_AUTO_TEST_CASE(what_does_not_go_together_is_refused_with_advice) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"bulk"},
           {"bulk", "cancel"},
           {"bulk", "drop", "--all"},
           {"bulk", "cancel", "--all", "7"},
           {"bulk", "cancel", "x"},
           {"bulk", "cancel", "--state", "odd"},
           {"bulk", "cancel", "--all", "--yes", "--dry-run"},
           {"bulk", "cancel", "--all", "--to-queue", "a"},
           {"bulk", "move", "--all"},
           {"bulk", "reprioritise", "--all"},
           {"bulk", "reprioritise", "--all", "--to-priority", "10"},
           {"bulk", "retry", "--queue", "a"},
           {"bulk", "show"},
           {"bulk", "stop", "1", "2"},
           {"bulk", "list", "--all"},
           {"bulk", "show", "1", "--confirm", "all"},
           {"bulk", "delete", "--queue", "a", "--confirm", "b"},
           {"bulk", "delete", "--queue", "a", "--confirm", "all"},
           {"bulk", "delete", "--all", "--confirm", "a"},
           {"bulk", "delete", "--queue", "a", "--confirm", "a", "--yes"},
           {"bulk", "delete", "1", "--confirm", "all"},
           {"bulk", "cancel", "--queue", "a", "--confirm", "a"},
           {"edit"},
           {"edit", "7"},
           {"edit", "x", "--priority", "1"},
           {"edit", "7", "--args", "{"},
           {"edit", "7", "--timeout-ms", "soon"},
           {"edit", "7", "--no-tags", "--tag", "a"}}) {
    auto all = arguments;
    all.insert(all.begin(), "jobs");
    const auto parsed = parse(all);
    const auto* refused = std::get_if<refusal>(&parsed);
    BOOST_REQUIRE_MESSAGE(refused != nullptr, arguments.back());
    BOOST_TEST(static_cast<int>(refused->code) == 2);
    BOOST_TEST(refused->text.find("--help") != std::string::npos);
  }
}
