#include "messages/handler.hpp"

#include <atomic>
#include <exception>
#include <optional>
#include <utility>

namespace troupe {

job_result completed(std::string result) {
  return {job_result::verdict::completed, std::move(result), {}, std::nullopt};
}

job_result failed(std::string error) {
  return {job_result::verdict::failed, {}, std::move(error), std::nullopt};
}

job_result discarded(std::string error) {
  return {job_result::verdict::discarded, {}, std::move(error), std::nullopt};
}

job_result snoozed(std::chrono::milliseconds delay) {
  return {job_result::verdict::snoozed, {}, {}, delay};
}

void job_run::progress(std::optional<double> percent, std::string_view message) const {
  if (listener)
    listener->progress(percent, message);
}

void job_run::log(std::string_view line, line_level level) const {
  if (listener)
    listener->log(level, line);
}

struct completion::once {
  explicit once(std::function<void(job_result)> f) : deliver(std::move(f)) {}
  once(const once&) = delete;
  once& operator=(const once&) = delete;
  ~once() { answer(failed("handler dropped its completion")); }

  void answer(job_result result) {
    if (!answered.exchange(true))
      deliver(std::move(result));
  }

  std::function<void(job_result)> deliver;
  std::atomic<bool> answered{false};
};

completion::completion(std::function<void(job_result)> deliver)
    : once_(std::make_shared<once>(std::move(deliver))) {}

void completion::operator()(job_result result) const {
  if (once_)
    once_->answer(std::move(result));
}

namespace {

/// A task of a run: the pool hears when the run is given up, and when it ends after all.
class worker_task {
public:
  worker_task(worker_pool& pool, const std::stop_token& given_up) : pool_(&pool) {
    given_up_.emplace(given_up, [this] {
      pool_->begin_stuck();
      stuck_ = true;
    });
  }
  worker_task(const worker_task&) = delete;
  worker_task& operator=(const worker_task&) = delete;
  ~worker_task() {
    given_up_.reset(); // a callback that runs meanwhile is waited for
    if (stuck_)
      pool_->end_stuck();
  }

private:
  worker_pool* pool_;
  bool stuck_ = false;
  std::optional<std::stop_callback<std::function<void()>>> given_up_;
};

} // namespace

async_handler on_worker(worker_pool& pool, blocking_handler handler) {
  auto shared = std::make_shared<const blocking_handler>(std::move(handler));
  return [&pool, shared](job_run_ptr run, const completion& done) {
    const bool accepted = pool.post([&pool, shared, run = std::move(run), done] {
      if (run->given_up.stop_requested()) // while it waited for a thread
        return;
      const worker_task task(pool, run->given_up);
      try {
        done((*shared)(*run));
      } catch (const std::exception& e) {
        done(failed(e.what()));
      } catch (...) { // it would end the process
        done(failed("the handler threw something that is not a std::exception"));
      }
    });
    if (!accepted)
      done(snoozed(std::chrono::seconds{1}));
  };
}

} // namespace troupe
