// What a session says to its UNIT OF WORK, and what that and DESK say to each other. A call carries
// the way back of its answer, so that threads which are no actors may ask.
#pragma once

#include "actors/pg_protocol.hpp"
#include "actors/run_reporter.hpp"
#include "db/work_request.hpp"
#include "messages/counters.hpp"
#include "messages/database_metrics.hpp"
#include "messages/interfaces.hpp"
#include "messages/span.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <utility>
#include <variant>

namespace troupe {

struct work_answer {
  std::variant<failure, db::work_reply> outcome;
  std::uint64_t failures = 0; ///< of the unit of work, as far as this answer tells
};

/// One question. Its reply is called exactly once, on an actor's thread; when the call dies
/// unanswered (its actor has ended) with errc::stopping.
class work_call {
public:
  work_call(db::work_request what, std::uint64_t failures_known,
            std::function<void(work_answer)> reply)
      : request(std::move(what)), seen(failures_known), reply_(std::move(reply)) {}
  work_call(const work_call&) = delete;
  work_call& operator=(const work_call&) = delete;
  ~work_call() { answer({failure{errc::stopping, "the session has ended"}, 0}); }

  void answer(work_answer told) const {
    if (!answered_.exchange(true))
      reply_(std::move(told));
  }

  db::work_request request; ///< moved from by its only receiver
  std::uint64_t seen;
  bool of_runner = false; ///< may end the transaction of a run

private:
  std::function<void(work_answer)> reply_;
  mutable std::atomic<bool> answered_{false};
};
using work_call_ptr = std::shared_ptr<work_call>;

/// Marks: no answer, nothing is sent before the next flush.
struct job_added {
  job_spec job;
  std::uint64_t seen = 0;
};
struct job_removed {
  job_id id;
  std::uint64_t seen = 0;
};
using work_message = std::variant<job_added, job_removed, work_call_ptr>;

} // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::job_added)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::job_removed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::work_call_ptr)

namespace troupe {

/// UNIT OF WORK: one transaction at a time.
using unit_of_work_actor = caf::typed_actor<
    // Mark this job to be stored.
    caf::reacts_to<job_added>,
    // Mark this job to be removed.
    caf::reacts_to<job_removed>,
    // Carry this out; the call itself carries the answer back.
    caf::reacts_to<work_call_ptr>,
    // Its session is gone: carry out what was asked for before, roll the rest back, end.
    caf::reacts_to<halt_atom>,
    // DESK: look at the time.
    caf::reacts_to<tick_atom>>;

} // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::unit_of_work_actor)

namespace troupe {

/// DESK: knows every UNIT OF WORK.
using work_desk_actor = caf::typed_actor<
    // This one has begun; answered with its number. errc::stopping ends it.
    caf::replies_to<unit_of_work_actor>::with<std::uint64_t>,
    // The one of this number has ended.
    caf::reacts_to<std::uint64_t>>;

/// Whom a UNIT OF WORK needs. Handles and pointers; cheap to copy.
struct work_peers {
  lending_pool_actor pool;
  executor_actor executor;
  scheduler_actor scheduler;
  work_desk_actor desk;
  logbook_actor logbook; ///< null: what runs say is not stored
  engine_counters* counters = nullptr;
  database_metrics* metrics = nullptr;
  span_sink* spans = nullptr; ///< null: runs make none
};

struct work_options {
  /// A transaction in which nothing is asked for so long is rolled back. Shorter than POOL's
  /// max_loan. Default: 30 s
  std::chrono::milliseconds idle_timeout{30'000};
  /// From the begin. A statement on its way has its own limit. Default: 10 min
  std::chrono::milliseconds max_duration{600'000};
  /// Ask for the transaction's number once it writes, so that a commit whose answer is lost can be
  /// looked up. A transaction that goes out as one burst has no number to look up.
  bool resolve = true;
  /// The transaction of a job's run: only RUNNER ends it.
  bool of_run = false;
};

} // namespace troupe
