// The queue that benchmarks have for themselves on a database: no other node takes from it, and it
// is empty before and after. What a killed benchmark left in it goes with the next one.
#pragma once

#include "launcher/engine.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace troupe::cli {

/// Of the queue, and of the kind of all jobs in it.
inline const std::string bench_name = "troupe-bench";

class bench_queue {
public:
  /// `wait` passes some time between two looks at the database, and is told how many of how many
  /// jobs are removed; it throws when it has been long enough.
  using waiting = std::function<void(std::int64_t removed, std::int64_t jobs)>;
  bench_queue(engine& node, waiting wait) : node_(node), wait_(std::move(wait)) {}

  /// Throws command_error (conflict) when another node would take jobs of it.
  void require_no_other() const;
  /// Afterwards the queue is paused and there are no jobs of ours in it, running ones included.
  void clear() const;
  /// Throws command_error (conflict) when there are jobs in it that are not ours.
  void require_empty() const;

  void pause() const { node_.pause(bench_name); }
  void resume() const { node_.resume(bench_name); }
  job_counts counts() const;

private:
  bulk_record remove_what_waits() const;

  engine& node_;
  waiting wait_;
};

/// Jobs that have not ended.
inline std::int64_t open_jobs(const job_counts& of) {
  return of.scheduled + of.available + of.running + of.retryable;
}
inline std::int64_t all_jobs(const job_counts& of) {
  return open_jobs(of) + of.completed + of.cancelled + of.discarded;
}

} // namespace troupe::cli
