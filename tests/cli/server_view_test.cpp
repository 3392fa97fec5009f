// What a server says of itself, laid out for people.
#include "cli/exit_code.hpp"
#include "cli/server_view.hpp"
#include "tests/support/says.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe::cli;
using namespace troupe::tests;

BOOST_AUTO_TEST_CASE(an_object_is_told_value_by_value) {
  const auto text = object_details(
      R"({"open":3,"last":null,"at":"2026-11-23T08:55:05.000001Z","bounds":{"most":{"a":1}},)"
      R"("none":[],"words":["x"],"connections":[{"slot":0,"lent":true},{"slot":11}]})");
  BOOST_TEST(text
             == "FIELD          VALUE\n"
                "open           3\n"
                "last           -\n"
                "at             2026-11-23 08:55:05Z\n"
                "bounds.most.a  1\n"
                "none           []\n"
                "words          [\"x\"]\n"
                "\nconnections\n"
                "slot  lent\n"
                "   0  true\n"
                "  11\n");
  BOOST_CHECK_THROW(object_details("[]"), command_error);
}

BOOST_AUTO_TEST_CASE(entries_and_exports_are_lines_of_a_table) {
  auto audit = audit_table();
  add_entries(audit,
              R"({"entries":[{"id":"7","at":"2026-11-23T08:55:05.1Z","who":"ada",)"
              R"("token":"3","action":"queue.pause","subject":"ma\u001bil"},)"
              R"({"id":"6","changes":{"args":{},"completed_ms":{"from":null,"to":5400000},)"
              R"("key":{"from":null,"to":"ma\u001bil"},"rate":{"from":null,"to":{"jobs":2}}}}],)"
              R"("next":null})");
  const auto entries = audit.take();
  BOOST_TEST(says(entries, "7  2026-11-23 08:55:05Z  ada      3  queue.pause  ma\\x1bil"));
  BOOST_TEST(says(
      entries, "  args, completed forever -> 90min, key - -> ma\\x1bil, rate - -> {\"jobs\":2}"));
  auto exports = exports_table();
  add_exports(exports, R"({"exports":[{"id":"9","state":"completed","format":"csv",)"
                       R"("compression":"gzip","created_at":"2026-11-23T08:55:05.1Z",)"
                       R"("progress":"done","file":{"bytes":812}},{"id":"8","file":null}]})");
  const auto kept = exports.take();
  BOOST_TEST(says(kept, "9  completed  csv.gz  2026-11-23 08:55:05Z    812  done"));
  BOOST_CHECK_THROW(add_exports(exports, "{}"), command_error);
  BOOST_CHECK_THROW(add_entries(audit, R"({"entries":{}})"), command_error);
}

BOOST_AUTO_TEST_CASE(ages_are_told_in_the_largest_unit_that_is_exact) {
  auto ages = ages_table();
  add_ages(ages, R"({"queue":"ma\u001bil","completed_ms":5400000,"cancelled_ms":null,)"
                 R"("discarded_ms":0})");
  BOOST_TEST(ages.take()
             == "QUEUE     COMPLETED  CANCELLED  DISCARDED\n"
                "ma\\x1bil      90min    forever        0ms\n");
  const auto text = retention_text(
      R"({"jobs":{"ages":[{"queue":null,"completed_ms":604800000,"cancelled_ms":1001,)"
      R"("discarded_ms":7200000}],"partitions":2},"others":[{"what":"audit","age_ms":86400000,)"
      R"("oldest_at":null}],"exports":{"most":100}})");
  BOOST_TEST(text
             == "QUEUE         COMPLETED  CANCELLED  DISCARDED\n"
                "(all others)         7d     1001ms         2h\n"
                "\n"
                "WHAT   KEPT FOR  OLDEST\n"
                "audit        1d  -\n"
                "\n"
                "FIELD            VALUE\n"
                "jobs.partitions  2\n"
                "exports.most     100\n");
  BOOST_CHECK_THROW(add_ages(ages, "[]"), command_error);
  BOOST_CHECK_THROW(retention_text("x"), command_error);
}

BOOST_AUTO_TEST_CASE(what_makes_an_age_shorter_is_told) {
  const std::string_view kept =
      R"({"jobs":{"ages":[{"queue":null,"completed_ms":604800000,"cancelled_ms":604800000,)"
      R"("discarded_ms":null},{"queue":"mail","completed_ms":3600000,"cancelled_ms":0,)"
      R"("discarded_ms":1000}]}})";
  const auto of = [&](const std::string& queue, std::string_view change) {
    return shortened(kept, queue, change);
  };
  BOOST_TEST(of("", R"({"completed_ms":604800000})") == "");
  BOOST_TEST(of("", R"({"completed_ms":null,"cancelled_ms":604800001})") == "");
  BOOST_TEST(of("", R"({"completed_ms":86400000,"discarded_ms":0})")
             == "completed 1d in place of 7d, discarded 0ms in place of forever");
  BOOST_TEST(of("mail", R"({"completed_ms":86400000,"cancelled_ms":0})") == "");
  BOOST_TEST(of("mail", R"({"completed_ms":60000})") == "completed 1min in place of 1h");
  BOOST_TEST(of("news", R"({"completed_ms":60000})") == "completed 1min in place of 7d");
  BOOST_TEST(of("mail", "") == ""); // as all others
  BOOST_TEST(shortened(R"({"jobs":{"ages":[{"queue":null,"discarded_ms":60000},)"
                       R"({"queue":"mail","discarded_ms":null}]}})",
                       "mail", "")
             == "discarded 1min in place of forever");
  BOOST_CHECK_THROW(shortened("x", "", "{}"), command_error);
}
