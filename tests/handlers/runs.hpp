// What tests of handlers need of an engine: worker threads, and runs whose answer can be awaited.
#pragma once

#include "messages/handler.hpp"
#include "tests/support/await.hpp"

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace troupe::tests {

class two_workers : public worker_pool {
public:
  two_workers() {
    for (int i = 0; i < 2; ++i)
      threads_.emplace_back([this] { work(); });
  }
  ~two_workers() override {
    {
      const std::lock_guard lock(guard_);
      ending_ = true;
    }
    changed_.notify_all();
    for (auto& t : threads_)
      t.join();
  }
  two_workers(const two_workers&) = delete;
  two_workers& operator=(const two_workers&) = delete;

  bool post(std::function<void()> task) override {
    {
      const std::lock_guard lock(guard_);
      tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
    return true;
  }

private:
  void work() {
    std::unique_lock lock(guard_);
    for (;;) {
      changed_.wait(lock, [this] { return ending_ || !tasks_.empty(); });
      if (tasks_.empty())
        return;
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      task = nullptr;
      lock.lock();
    }
  }

  std::mutex guard_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

/// One run in the making; start() runs it, result() waits for its answer.
class one_run {
public:
  explicit one_run(std::string kind, std::string args, std::int64_t id = 17, int attempt = 1) {
    run_.id = job_id{id};
    run_.kind = std::move(kind);
    run_.args = std::move(args);
    run_.attempt = attempt;
    run_.stop = stop_.get_token();
  }

  one_run& start(const handler_table& kinds) {
    auto answer = std::make_shared<std::promise<job_result>>();
    answer_ = answer->get_future();
    kinds.at(run_.kind).start(
        std::make_shared<const job_run>(run_),
        completion([answer](job_result r) { answer->set_value(std::move(r)); }));
    return *this;
  }
  void stop() { stop_.request_stop(); }
  job_result result() {
    if (answer_.wait_for(patience) != std::future_status::ready)
      throw std::runtime_error("no answer of " + run_.kind);
    return answer_.get();
  }

private:
  job_run run_;
  std::stop_source stop_;
  std::future<job_result> answer_;
};

} // namespace troupe::tests
