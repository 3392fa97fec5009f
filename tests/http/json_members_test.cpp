// Members of an object: commas where they belong, and null for what there is not.
#include "http/json_members.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace troupe::http;

BOOST_AUTO_TEST_CASE(the_first_member_has_no_comma_and_absent_values_are_null) {
  std::string out = "{";
  append_number(out, "jobs", 7);
  append_number(out, "rate", std::nullopt);
  append_text(out, "queue", "a\"b");
  append_text(out, "note", "");
  append_text_or_null(out, "error", "");
  append_text_or_null(out, "node", "n");
  append_time_of(out, "at", timestamp{});
  append_time_of(out, "until", std::nullopt);
  append_name(out, "inner");
  out += '{';
  append_text(out, "first", "x");
  out += "}}";
  BOOST_TEST(out
             == R"({"jobs":7,"rate":null,"queue":"a\"b","note":"","error":null,"node":"n",)"
                R"("at":"1970-01-01T00:00:00Z","until":null,"inner":{"first":"x"}})");
}
