// Threads for blocking handlers. A fixed number of them over one bounded queue; when the queue is
// full, post() says so and the caller decides.
#pragma once

#include "messages/handler.hpp"

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace troupe {

class thread_pool : public worker_pool {
public:
  /// Tasks that wait; beyond it post() answers false.
  static constexpr std::size_t default_bound = 10'000;

  explicit thread_pool(std::size_t threads, std::size_t bound = default_bound);
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  ~thread_pool() override;

  bool post(std::function<void()> task) override;
  /// Waits for the tasks that run and drops those that do not yet; their completions then say so.
  /// Not to be called by a task. Harmless when repeated.
  void stop();

  std::size_t waiting() const;

private:
  void work();

  const std::size_t bound_;
  mutable std::mutex guard_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

} // namespace troupe
