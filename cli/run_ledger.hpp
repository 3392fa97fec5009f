// How often each job of a benchmark ran, as its handler counts. Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace troupe::cli {

class run_ledger {
public:
  /// Of jobs with numbers from 0 on.
  explicit run_ledger(std::size_t jobs) : runs_(jobs) {}

  /// A run of this job begins.
  void add(std::size_t job);
  /// Nothing ran so far. While no job does.
  void forget();

  struct totals {
    std::size_t never = 0;  ///< jobs that did not run
    std::size_t again = 0;  ///< jobs that ran more than once
    std::size_t others = 0; ///< runs of jobs that there are not
    bool each_once() const { return never == 0 && again == 0 && others == 0; }
  };
  totals total() const;

private:
  std::vector<std::atomic<std::uint8_t>> runs_; ///< 2: more than once
  std::atomic<std::size_t> others_{0};
};

} // namespace troupe::cli
