// What a benchmark says at its end, and the percentiles in it.
#include "cli/bench_report.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <numeric>

using namespace troupe::cli;

namespace {

std::vector<double> numbers_to(std::size_t last) {
  std::vector<double> values(last);
  std::iota(values.begin(), values.end(), 1.0);
  return values;
}

bench_report drained() {
  bench_report report;
  report.what = "drain";
  report.jobs = 1000;
  report.seconds = 0.12345678;
  report.wal_bytes_per_job = 123.456;
  report.exactly_once = true;
  return report;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_percentile_is_the_nearest_of_the_values) {
  BOOST_TEST(percentile({7}, 50) == 7);
  BOOST_TEST(percentile({7}, 99) == 7);
  BOOST_TEST(percentile({1, 2}, 50) == 1);
  BOOST_TEST(percentile({1, 2}, 51) == 2);
  BOOST_TEST(percentile(numbers_to(99), 99) == 99);
  BOOST_TEST(percentile(numbers_to(100), 50) == 50);
  BOOST_TEST(percentile(numbers_to(100), 99) == 99);
  BOOST_TEST(percentile(numbers_to(100), 100) == 100);
  BOOST_TEST(percentile(numbers_to(101), 99) == 100);
  BOOST_TEST(percentile(numbers_to(1000), 1) == 10);
}

BOOST_AUTO_TEST_CASE(waits_need_not_come_in_order) {
  const auto waits = waits_of({5, 1, 4, 2, 3});
  BOOST_TEST(waits.p50 == 3);
  BOOST_TEST(waits.p99 == 5);
}

BOOST_AUTO_TEST_CASE(a_rate_is_told_with_the_words_that_scripts_know) {
  const auto out = nlohmann::json::parse(report_json(drained()));
  BOOST_TEST(out.at("bench") == "drain");
  BOOST_TEST(out.at("jobs") == 1000);
  BOOST_TEST(out.at("seconds").get<double>() == 0.1235);
  BOOST_TEST(out.at("jobs_per_second").get<double>() == 8100.0);
  BOOST_TEST(out.at("wal_bytes_per_job").get<double>() == 123.5);
  BOOST_TEST(out.at("exactly_once").get<bool>());
  BOOST_TEST(out.size() == 6U);
}

BOOST_AUTO_TEST_CASE(waits_are_told_instead_of_a_rate) {
  auto report = drained();
  report.what = "latency";
  report.exactly_once = false;
  report.from_commit = bench_waits{1.23456, 2};
  report.from_call = bench_waits{3, 4};
  const auto out = nlohmann::json::parse(report_json(report));
  BOOST_TEST(out.at("p50_ms").get<double>() == 1.235);
  BOOST_TEST(out.at("p99_ms").get<double>() == 2.0);
  BOOST_TEST(out.at("p50_from_call_ms").get<double>() == 3.0);
  BOOST_TEST(out.at("p99_from_call_ms").get<double>() == 4.0);
  BOOST_TEST(!out.at("exactly_once").get<bool>());
  BOOST_TEST(!out.contains("jobs_per_second"));
}

BOOST_AUTO_TEST_CASE(people_get_a_table) {
  BOOST_TEST(report_text(drained())
             == "drain of 1000 jobs\n"
                "jobs/s                 8100.0\n"
                "seconds                  0.12\n"
                "each job exactly once     yes\n"
                "WAL per job             123 B\n");
}
