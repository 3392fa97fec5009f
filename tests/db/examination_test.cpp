// What a doctor asks in which order, and what it makes of answers that do not come. Values only;
// what it finds in real databases is in tests/db/doctor_pgtest.cpp.
#include "db/examination.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace troupe::db;

namespace {

struct looking_over {
  examination sees{4, false};

  /// Answers what is asked now as a sound database would.
  void answer(bool has_schema = true) {
    const std::string asked = sees.next()->name;
    examination::text_rows rows;
    if (asked == "doctor_server")
      rows = {
          {"15.8", "db", "me", "1", "false", "0", "true", "true", has_schema ? "true" : "false"}};
    else if (asked == "doctor_connections")
      rows = {{"97", "1", "-1", "1", "-1", "1"}};
    else if (asked == "doctor_vacuum")
      rows = {{"100", ""}};
    else if (asked == "doctor_schema")
      rows = {{version, "0"}};
    sees.saw(rows, {});
  }
  std::vector<std::string> rest(bool has_schema = true) {
    std::vector<std::string> asked;
    while (const auto* what = sees.next()) {
      asked.emplace_back(what->name);
      answer(has_schema);
    }
    return asked;
  }
  std::string version = "1";
};

bool has(const doctor_report& report, const std::string& name, health_status status) {
  for (const auto& each : report.findings)
    if (each.name == name && each.status == status)
      return true;
  return false;
}

} // namespace

BOOST_FIXTURE_TEST_CASE(of_a_schema_of_another_version_nothing_more_is_asked, looking_over) {
  BOOST_TEST(rest().back() == "doctor_schema");
  BOOST_TEST(has(sees.take(), "schema", health_status::degraded));
}

BOOST_FIXTURE_TEST_CASE(without_a_schema_nothing_is_asked_of_it, looking_over) {
  BOOST_TEST(rest(false).back() == "doctor_vacuum");
  const auto report = sees.take();
  BOOST_TEST(report.server == "PostgreSQL 15.8, database db, user me");
  BOOST_TEST(report.findings.back().name == "schema");
  BOOST_TEST(report.findings.back().advice.find("troupe migrate") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(without_the_first_answer_there_is_no_report, looking_over) {
  BOOST_TEST(!sees.missed(sees.name(), "no"));
  BOOST_TEST(std::string{sees.next()->name} == "doctor_server");
}

BOOST_FIXTURE_TEST_CASE(what_is_missed_is_told_and_nothing_more_is_asked_about_it, looking_over) {
  while (std::string{sees.name()} != "transactions")
    answer();
  BOOST_TEST(sees.missed("transactions", "permission denied"));
  BOOST_TEST(std::string{sees.next()->name} == "doctor_connections"); // not the slots
  BOOST_TEST(sees.missed("of another kind", "no"));
  BOOST_TEST(std::string{sees.next()->name} == "doctor_connections");
  rest();
  const auto report = sees.take();
  BOOST_TEST(has(report, "transactions", health_status::degraded));
  BOOST_TEST(has(report, "of another kind", health_status::degraded));
  BOOST_TEST(has(report, "connections", health_status::ok));
}

BOOST_AUTO_TEST_CASE(of_a_nodes_own_settings_nothing_is_said) {
  for (const auto own : {std::optional<bool>{}, std::optional{true}}) {
    looking_over one;
    one.sees = examination{4, own};
    one.rest();
    BOOST_TEST(has(one.sees.take(), "timeouts", health_status::ok) == own.has_value());
  }
}
