// A unique rule as JSON: what is said and nothing else, with every character that JSON escapes.
#include "db/unique_rule.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(a_rule_has_the_members_that_it_says) {
  BOOST_TEST(db::unique_json({}) == R"({"on_conflict":"reject"})");
  BOOST_TEST(db::unique_json({.args = true, .conflict = on_conflict::existing})
             == R"({"on_conflict":"existing","args":true})");
  BOOST_TEST(db::unique_json({.queue = true,
                              .fields = {"a", "b"},
                              .period = 90s,
                              .states = {job_state::running, job_state::completed},
                              .conflict = on_conflict::replace})
             == R"({"on_conflict":"replace","queue":true,"args":["a","b"],"period_ms":90000,)"
                R"("states":["running","completed"]})");
}

BOOST_AUTO_TEST_CASE(names_of_fields_are_escaped) {
  BOOST_TEST(db::unique_json({.fields = {"q\"b\\n\n\x1f\xc3\xa4"}})
             == "{\"on_conflict\":\"reject\",\"args\":[\"q\\\"b\\\\n\\u000a\\u001f\xc3\xa4\"]}");
}
