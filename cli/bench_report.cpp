#include "cli/bench_report.hpp"

#include "cli/table.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace troupe::cli {

namespace {

std::string decimals(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

double rounded(double value, double steps) {
  return std::round(value * steps) / steps;
}

double ms(double value) {
  return rounded(value, 1000);
}

} // namespace

double percentile(const std::vector<double>& sorted, std::size_t percent) {
  return sorted.at((sorted.size() * percent + 99) / 100 - 1);
}

bench_waits waits_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {percentile(values, 50), percentile(values, 99)};
}

std::string report_json(const bench_report& report) {
  nlohmann::ordered_json out{{"bench", report.what}, {"jobs", report.jobs}};
  if (report.from_commit && report.from_call) {
    out["p50_ms"] = ms(report.from_commit->p50);
    out["p99_ms"] = ms(report.from_commit->p99);
    out["p50_from_call_ms"] = ms(report.from_call->p50);
    out["p99_from_call_ms"] = ms(report.from_call->p99);
  } else {
    out["seconds"] = rounded(report.seconds, 10'000);
    out["jobs_per_second"] = rounded(report.rate(), 10);
  }
  out["exactly_once"] = report.exactly_once;
  out["wal_bytes_per_job"] = rounded(report.wal_bytes_per_job, 10);
  return out.dump();
}

std::string report_text(const bench_report& report) {
  table rows({{"", false}, {"", true}});
  const auto add_waits = [&rows](const std::string& since, const bench_waits& waits) {
    rows.add({"p50 from the " + since, decimals(waits.p50, 3) + " ms"});
    rows.add({"p99 from the " + since, decimals(waits.p99, 3) + " ms"});
  };
  if (report.from_commit && report.from_call) {
    add_waits("commit", *report.from_commit);
    add_waits("call", *report.from_call);
  } else {
    rows.add({"jobs/s", decimals(report.rate(), 1)});
    rows.add({"seconds", decimals(report.seconds, 2)});
  }
  rows.add({"each job exactly once", report.exactly_once ? "yes" : "no"});
  rows.add({"WAL per job", decimals(report.wal_bytes_per_job, 0) + " B"});
  const auto text = rows.take();
  return report.what + " of " + std::to_string(report.jobs) + " jobs\n"
         + text.substr(text.find('\n') + 1); // no titles
}

} // namespace troupe::cli
