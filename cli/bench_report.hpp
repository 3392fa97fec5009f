// What `troupe bench` says at the end. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace troupe::cli {

/// How long jobs waited, in milliseconds.
struct bench_waits {
  double p50 = 0;
  double p99 = 0;
};

/// The least of these values that `percent` (1 to 100) of them do not exceed. There is one at
/// least.
double percentile(const std::vector<double>& sorted, std::size_t percent);
bench_waits waits_of(std::vector<double> values);

struct bench_report {
  std::string what; ///< drain, enqueue or latency
  int jobs = 0;
  double seconds = 0;                     ///< of what was measured, but of latency
  std::optional<bench_waits> from_commit; ///< of latency only
  std::optional<bench_waits> from_call;   ///< likewise
  double wal_bytes_per_job = 0;
  bool exactly_once = false;

  double rate() const { return seconds > 0 ? jobs / seconds : 0; }
};

std::string report_json(const bench_report& report);
std::string report_text(const bench_report& report);

} // namespace troupe::cli
