// What runs a job: the handler's side of the contract. The engine guarantees at least one run;
// a handler answers each run exactly once, from any thread.
#pragma once

#include "messages/job.hpp"
#include "messages/job_log.hpp"
#include "messages/retry_policy.hpp"

#include <concepts>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace troupe {

/// The transaction of one run, opened at its first use; see session_of() in launcher/session.hpp.
class run_port {
public:
  run_port() = default;
  run_port(const run_port&) = delete;
  run_port& operator=(const run_port&) = delete;
  virtual ~run_port() = default;
};

/// One run of one job, as its handler sees it. Immutable; outlives the run when the handler keeps
/// it.
struct job_run {
  job_id id;
  int attempt = 1;
  int max_attempts = 20;
  /// How often in a row, right before this attempt, its node died while it held the job. With the
  /// third time the job is discarded. 0 to 2.
  int losses = 0;
  std::string queue;
  std::string kind;
  std::string args; ///< JSON text
  std::optional<std::chrono::milliseconds> timeout;
  /// Stop is requested when the job is cancelled, its time is over, its lease is lost, or the
  /// engine stops without waiting any longer; a run that then fails costs no attempt, and its job
  /// waits again at once. Register a std::stop_callback to react at once.
  std::stop_token stop;
  /// Stop is requested a second time, here, when the run has not ended long after it was asked to:
  /// its slot goes to another one, and what it answers counts no more.
  std::stop_token given_up;
  std::shared_ptr<run_port> work{};         ///< null in tests of a handler alone
  std::shared_ptr<run_listener> listener{}; ///< the same: nobody listens
  std::optional<retry_policy> retry{};      ///< the job's own, if it has one
  /// The job's trace (W3C Trace Context), to be sent on with what the run asks others: its span is
  /// the run's own where spans are exported, else that of the request that enqueued the job. Empty:
  /// there is none.
  std::string traceparent{};

  // From any thread; they never wait and never fail. What is said after the lease is gone, or after
  // the outcome is written, is dropped.
  /// How far it is, 0 to 100 percent or nobody knows. The last word counts, so say it as often as
  /// you like. The message is cut to limits::message_bytes.
  void progress(std::optional<double> percent, std::string_view message = {}) const;
  /// One line of the job's log, within limits::log_lines and log_bytes for one attempt.
  void log(std::string_view line, line_level level = line_level::info) const;
};
using job_run_ptr = std::shared_ptr<const job_run>;

/// What a handler answers.
struct job_result {
  enum class verdict : std::uint8_t { completed, failed, discarded, snoozed };
  verdict kind = verdict::completed;
  std::string result;                                ///< JSON text or empty
  std::string error;                                 ///< why it failed, for a person
  std::optional<std::chrono::milliseconds> retry_in; ///< instead of the backoff; snooze: required
};

/// The job is done. `result` is JSON text, at most limits::result_bytes.
job_result completed(std::string result = {});
/// This attempt failed; the job runs again after its backoff while attempts are left.
job_result failed(std::string error);
/// The job failed for good, whatever attempts are left.
job_result discarded(std::string error);
/// Run the same attempt again later. Costs no attempt.
job_result snoozed(std::chrono::milliseconds delay);

/// Answers one run, once. Copyable so that it fits into callbacks; later answers are ignored.
/// When the last copy dies unanswered the run fails with "handler dropped its completion".
class completion {
public:
  completion() = default;
  explicit completion(std::function<void(job_result)> deliver);
  void operator()(job_result result) const;

private:
  struct once;
  std::shared_ptr<once> once_;
};

/// Starts a run and returns at once; must not block. Called on an actor's thread.
using async_handler = std::function<void(job_run_ptr, completion)>;
/// Runs a job to its end on a worker thread. An exception is a failed attempt with its text.
using blocking_handler = std::function<job_result(const job_run&)>;

/// Threads for blocking work. Implemented by launcher/worker_pool; bounded.
class worker_pool {
public:
  virtual ~worker_pool() = default;
  /// Runs the task on some worker thread; false when the pool's queue is full or it has stopped.
  virtual bool post(std::function<void()> task) = 0;
  /// A task that runs is not expected to end soon: until end_stuck() the pool makes do with another
  /// thread in place of its own, while it may have more.
  virtual void begin_stuck() {}
  virtual void end_stuck() {}
};

/// Makes an async handler that runs `handler` on `pool`. The pool must outlive the handler.
async_handler on_worker(worker_pool& pool, blocking_handler handler);

/// What holds for all jobs of a kind.
struct kind_options {
  /// When a failed attempt is followed by the next, for jobs that do not say it themselves.
  retry_policy retry = {};
  /// Of one attempt, for jobs that name none. Default: unlimited
  std::optional<std::chrono::milliseconds> timeout = {};
};

struct job_kind {
  job_kind() = default;
  /// With default options.
  template<std::convertible_to<async_handler> Handler>
  job_kind(Handler handler) : start(std::move(handler)) {} // NOLINT(google-explicit-constructor)
  job_kind(async_handler handler, kind_options how)
      : start(std::move(handler)), options(std::move(how)) {}

  async_handler start;
  kind_options options;
};

/// The kinds one engine can run. Fixed before start.
using handler_table = std::map<std::string, job_kind, std::less<>>;
using handler_table_ptr = std::shared_ptr<const handler_table>;

} // namespace troupe
