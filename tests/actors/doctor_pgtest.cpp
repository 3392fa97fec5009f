// DOCTOR over a real database: what `troupe doctor` finds, through the pool, and what it cannot
// see.
#include "tests/actors/whole_cast.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <string>

using namespace troupe;
using namespace troupe::tests;

namespace {

struct practice : whole_cast {
  doctor_report look() const {
    auto reply = ask(ask_doctor{});
    if (const auto* why = std::get_if<failure>(&reply))
      BOOST_FAIL(why->detail);
    return std::get<doctor_report>(std::move(reply));
  }
  static const doctor_finding& of(const doctor_report& report, const std::string& name) {
    const auto found = std::find_if(report.findings.begin(), report.findings.end(),
                                    [&](const auto& each) { return each.name == name; });
    BOOST_REQUIRE_MESSAGE(found != report.findings.end(), name);
    return *found;
  }
  /// The first of those that are well in a sound database which is not; empty: all are.
  static std::string complaint(const doctor_report& report) {
    for (const auto* name :
         {"server", "round trip", "clock", "replication", "encoding", "transactions",
          "idle transactions", "replication slots", "connections", "rights", "schema", "scheduler",
          "indexes", "partitions of jobs", "partitions of entries"})
      if (of(report, name).status != health_status::ok)
        return std::string{name} + ": " + of(report, name).found;
    return {};
  }
};

} // namespace

BOOST_FIXTURE_TEST_CASE(a_sound_database_is_found_well_through_the_pool, practice) {
  doctor_report report;
  // A machine that stands still for a moment is a finding itself: then it is looked at again.
  await_until([&] {
    report = look();
    return complaint(report).empty();
  });
  BOOST_TEST(complaint(report) == "");
  BOOST_TEST(report.server.find(database.name()) != std::string::npos);
  BOOST_TEST((report.status() != health_status::failing));
}

BOOST_FIXTURE_TEST_CASE(what_is_wrong_is_told_with_advice, practice) {
  database.exec("alter table troupe.lane set (autovacuum_enabled = off)");
  database.exec("insert into troupe.schema_version (version, name) values (900, 'of the future')");
  auto report = look();
  BOOST_TEST((of(report, "vacuum").status == health_status::degraded));
  BOOST_TEST(!of(report, "vacuum").advice.empty());
  BOOST_TEST((of(report, "schema").status == health_status::failing));
  BOOST_TEST((report.findings.back().name == "schema")); // no look into a schema of another time
  database.exec("delete from troupe.schema_version where version = 900");
  report = look();
  BOOST_TEST((of(report, "schema").status == health_status::ok));
  BOOST_TEST(of(report, "partitions of jobs").name
             == "partitions of jobs"); // it is looked at again
}

BOOST_FIXTURE_TEST_CASE(what_cannot_be_looked_at_is_a_finding_and_the_rest_is_told, practice) {
  database.exec("alter function troupe.next_due() rename to due_no_more");
  const auto report = look();
  const auto& schema = of(report, "schema");
  BOOST_TEST((schema.status == health_status::degraded));
  BOOST_TEST(schema.found.find("42883") != std::string::npos, schema.found);
  BOOST_TEST((of(report, "rights").status == health_status::ok));
}
