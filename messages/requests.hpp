// What a producer or an operator asks, through HTTP or the embedding API: GATE takes it, a SESSION
// serves it, STORE answers. Local to the process: the way back is a function.
#pragma once

#include "messages/audit.hpp"
#include "messages/bulk.hpp"
#include "messages/doctor.hpp"
#include "messages/errc.hpp"
#include "messages/job.hpp"
#include "messages/job_log.hpp"
#include "messages/job_watch.hpp"
#include "messages/key_use.hpp"
#include "messages/node.hpp"
#include "messages/queue.hpp"
#include "messages/retention.hpp"
#include "messages/token.hpp"
#include "messages/why.hpp"
#include "messages/work.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace troupe {

/// Stores all jobs or none; answered after the commit with ids in the order given. With a key, the
/// same request asked again is answered as the first time, for a day.
struct enqueue_jobs {
  std::vector<job_spec> jobs;
  std::string idempotency_key = {};
  /// Whose jobs these are, one after the other, each all or none. Empty: one's. Several callers'
  /// when INTAKE has put them together, or one caller's who wants to be told of each part.
  struct part {
    std::size_t jobs = 0;
    std::string idempotency_key;
  };
  std::vector<part> parts = {};
  /// A part that there is no room for fails alone, told by its fates.
  bool apart = false;
};
using enqueue_jobs_ptr = std::shared_ptr<const enqueue_jobs>;

/// What became of one job. The numbers are the database's (troupe.enqueue_keyed).
enum class enqueue_fate : std::uint8_t {
  created = 0,
  existing = 1, ///< another job has its unique key: that one's id
  replaced = 2, ///< the same, and that one waits and does now what this one said
  rejected = 3, ///< the same; nothing of the request was stored
  none = 4,     ///< nothing was stored, for the request's sake
  no_room = 5,  ///< its queue takes no more (max_waiting); nothing of the request was stored
};

struct enqueued_jobs {
  std::vector<job_id> ids;
  std::vector<std::string> ready_queues; ///< where work is available at once
  bool deferred = false;                 ///< some wait for their time
  /// What `created_at` of these jobs is; none when the store did not read it back.
  std::optional<timestamp> created_at = std::nullopt;
  std::vector<enqueue_fate> fates = {}; ///< of each job; empty: all created
  key_use use = key_use::none;
  /// Of each part, in the order asked.
  struct part {
    key_use use = key_use::none;
    timestamp created_at;
  };
  std::vector<part> parts = {};
};

/// The index of the first job that was rejected.
inline std::optional<std::size_t> first_rejected(const enqueued_jobs& jobs) {
  const auto found = std::find(jobs.fates.begin(), jobs.fates.end(), enqueue_fate::rejected);
  if (found == jobs.fates.end())
    return std::nullopt;
  return static_cast<std::size_t>(found - jobs.fates.begin());
}

/// Of the job whose queue takes no more.
inline std::optional<std::size_t> first_without_room(const enqueued_jobs& jobs) {
  const auto found = std::find(jobs.fates.begin(), jobs.fates.end(), enqueue_fate::no_room);
  if (found == jobs.fates.end())
    return std::nullopt;
  return static_cast<std::size_t>(found - jobs.fates.begin());
}

/// One job with its attempts; errc::not_found.
struct get_job {
  job_id id;
  bool args = true; ///< false: `{}` will do, which is what is read if nobody else wants them
};

struct list_jobs {
  job_filter filter;
  job_id before; ///< 0: from the newest
  int limit = 50;
  bool args = true; ///< false: they are not read, and `{}` in the answer

  friend auto operator<=>(const list_jobs&, const list_jobs&) = default; // NOLINT: as job_id
};

/// What a rejected job is told; `other` is 0 when it is of the same request.
inline std::string conflict_text(job_id other) {
  return (other.value != 0 ? "job " + std::to_string(other.value) : "another job of this request")
         + " has the same unique key";
}

/// One page of a job's log; errc::not_found.
struct get_log {
  job_id id;
  std::int64_t after = 0; ///< the number of the last line that is known; 0: from the first
  int limit = 100;
};

/// Cancels a job that is not final; errc::conflict when it is. The answer is the job afterwards.
struct cancel_job {
  job_id id;
  asker by = {};
};
/// Makes a final or waiting job available now, with a new attempt if it had ended.
/// errc::conflict when it is available or running already.
struct retry_job {
  job_id id;
  asker by = {};
};
/// Deletes a job that is not running, with its attempts; errc::conflict when it runs.
struct delete_job {
  job_id id;
  asker by = {};
};
struct deleted_job {
  job_id id;
};

/// Everything GATE takes. One SESSION serves one of them.
using api_request =
    std::variant<enqueue_jobs, get_job, list_jobs, cancel_job, retry_job, delete_job, explain_job,
                 get_log, get_queue, list_queues, pause_queue, limit_queue, get_counts, edit_job,
                 start_bulk, preview_bulk, get_bulk, list_bulks, cancel_bulk, get_node, list_nodes,
                 find_token, create_token, list_tokens, revoke_token, list_audit, join_worker,
                 claim_work, finish_work, beat_worker, report_work, leave_worker, steer_worker,
                 watch_jobs, drain_node, get_retention, change_ages, forget_ages, ask_doctor>;
/// One SESSION's answer: enqueue -> enqueued_jobs; get, cancel, retry, edit -> job_record;
/// list -> job_page; delete -> deleted_job; explain -> job_hold; get_log -> log_page; about queues
/// -> queue_record, list_queues -> queue_page, get_counts -> counts_page; about bulks ->
/// bulk_record, preview_bulk -> bulk_preview, list_bulks -> bulk_page; about nodes -> node_record,
/// list_nodes -> node_page; get_retention -> retention_record, about ages -> job_ages; ask_doctor
/// -> doctor_report; find_token -> found_token, about tokens -> token_record, list_tokens ->
/// token_page; list_audit -> audit_page; of workers each its own, see messages/work.hpp; watch_jobs
/// -> job_sights; anything -> failure.
using api_reply =
    std::variant<failure, enqueued_jobs, job_record, job_page, deleted_job, job_hold, log_page,
                 queue_record, queue_page, counts_page, bulk_record, bulk_preview, bulk_page,
                 node_record, node_page, token_record, token_page, found_token, audit_page,
                 joined_worker, claimed_work, finished_work, work_pulse, reported_work, left_worker,
                 steered_worker, job_sights, retention_record, job_ages, doctor_report>;

/// A request with its answer's way back. The reply function is called exactly once, on whatever
/// thread answers; when the call dies unanswered (its actor ended) it gets errc::stopping.
class api_call {
public:
  api_call(api_request request, std::function<void(api_reply)> reply)
      : request_(std::move(request)), reply_(std::move(reply)) {}
  api_call(const api_call&) = delete;
  api_call& operator=(const api_call&) = delete;
  ~api_call() { answer(failure{errc::stopping, "the engine is stopping"}); }

  const api_request& request() const { return request_; }
  void answer(api_reply reply) const {
    if (!answered_.exchange(true))
      reply_(std::move(reply));
  }

private:
  api_request request_;
  std::function<void(api_reply)> reply_;
  mutable std::atomic<bool> answered_{false};
};
using api_call_ptr = std::shared_ptr<const api_call>;

} // namespace troupe
