// Threads for blocking handlers. A fixed number of them over one bounded queue; when the queue is
// full, post() says so and the caller decides. For each task that is stuck there is one thread
// more, up to most_stuck.
#pragma once

#include "messages/handler.hpp"

#include <chrono>
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
  /// Stuck tasks that are made up for; further ones cost a thread each until they end.
  static constexpr std::size_t most_stuck = 64;

  explicit thread_pool(std::size_t threads, std::size_t bound = default_bound);
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  ~thread_pool() override;

  bool post(std::function<void()> task) override;
  void begin_stuck() override;
  void end_stuck() override;
  /// Drops the tasks that do not run yet, whose completions then say so, and waits for those that
  /// do. Not to be called by a task. Harmless when repeated.
  void stop();
  /// The same. False when some still run after `limit`.
  [[nodiscard]] bool stop_within(std::chrono::milliseconds limit);

  std::size_t waiting() const;

private:
  void work();
  /// With the guard held.
  std::size_t allowed() const;

  const std::size_t bound_;
  const std::size_t size_;
  mutable std::mutex guard_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  std::size_t busy_ = 0;  ///< threads with a task
  std::size_t stuck_ = 0; ///< of these
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

} // namespace troupe
