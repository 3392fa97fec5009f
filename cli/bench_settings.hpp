// What a benchmark is told.
#pragma once

#include <optional>

namespace troupe::cli {

struct bench_settings {
  static constexpr int most_jobs = 10'000'000;
  /// One after the other, each some 10 ms after the one before.
  static constexpr int most_pickups = 1'000'000;

  std::optional<int> jobs; ///< none: as many as its help says
  int batch = 1000;        ///< jobs in one enqueue
  int slots = 64;          ///< jobs run at the same time
  int work_us = 0;         ///< that each job computes; 0: a no-op
  bool by_sql = false;     ///< latency: who enqueues
  double limit = 300;      ///< seconds
  bool keep = false;
};

} // namespace troupe::cli
