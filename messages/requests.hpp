// What a producer or an operator asks, through HTTP or the embedding API: GATE takes it, a SESSION
// serves it, STORE answers. Local to the process: the way back is a function.
#pragma once

#include "messages/errc.hpp"
#include "messages/job.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace troupe {

/// Stores all jobs or none; answered after the commit with ids in the order given.
struct enqueue_jobs {
  std::vector<job_spec> jobs;
};
using enqueue_jobs_ptr = std::shared_ptr<const enqueue_jobs>;
struct enqueued_jobs {
  std::vector<job_id> ids;
  std::vector<std::string> ready_queues; ///< where work is available at once
  bool deferred = false;                 ///< some wait for their time
  /// What `created_at` of these jobs is; none when the store did not read it back.
  std::optional<timestamp> created_at = std::nullopt;
};

/// One job with its attempts; errc::not_found.
struct get_job {
  job_id id;
};

struct list_jobs {
  job_filter filter;
  job_id before; ///< 0: from the newest
  int limit = 50;
};

/// Cancels a job that is not final; errc::conflict when it is. The answer is the job afterwards.
struct cancel_job {
  job_id id;
};
/// Makes a final or waiting job available now, with a new attempt if it had ended.
/// errc::conflict when it is available or running already.
struct retry_job {
  job_id id;
};
/// Deletes a job that is not running, with its attempts; errc::conflict when it runs.
struct delete_job {
  job_id id;
};
struct deleted_job {
  job_id id;
};

/// Everything GATE takes. One SESSION serves one of them.
using api_request =
    std::variant<enqueue_jobs, get_job, list_jobs, cancel_job, retry_job, delete_job>;
/// One SESSION's answer: enqueue -> enqueued_jobs; get, cancel, retry -> job_record;
/// list -> job_page; delete -> deleted_job; anything -> failure.
using api_reply = std::variant<failure, enqueued_jobs, job_record, job_page, deleted_job>;

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
