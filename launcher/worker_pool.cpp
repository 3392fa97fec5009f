// The queue is under one lock; a task costs milliseconds or more, so the lock is not what limits.
#include "launcher/worker_pool.hpp"

#include "launcher/threads.hpp"
#include "messages/log.hpp"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

namespace troupe {

namespace {

/// A task that throws must not take the process with it. Its completion, if it held one, has been
/// dropped by then and has told the engine; here the log is told.
void run_guarded(const std::function<void()>& task) {
  try {
    task();
  } catch (const std::exception& thrown) {
    log::error("worker", std::string("an exception left a task: ") + thrown.what());
  } catch (...) {
    log::error("worker", "something that is no std::exception left a task");
  }
}

} // namespace

thread_pool::thread_pool(std::size_t threads, std::size_t bound) : bound_(bound) {
  threads = std::max<std::size_t>(threads, 1);
  threads_.reserve(threads);
  try {
    for (std::size_t i = 0; i < threads; ++i)
      threads_.push_back(start_thread("troupe-worker", [this] { work(); }));
  } catch (...) {
    stop(); // a thread could not be had: those that run would outlive their pool
    throw;
  }
}

thread_pool::~thread_pool() {
  stop();
}

bool thread_pool::post(std::function<void()> task) {
  {
    const std::lock_guard lock(guard_);
    if (stopped_ || tasks_.size() >= bound_)
      return false;
    tasks_.push_back(std::move(task));
  }
  changed_.notify_one();
  return true;
}

void thread_pool::stop() {
  std::deque<std::function<void()>> dropped;
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(guard_);
    stopped_ = true;
    dropped.swap(tasks_);
    threads.swap(threads_);
  }
  changed_.notify_all();
  for (std::thread& thread : threads)
    thread.join();
}

std::size_t thread_pool::waiting() const {
  const std::lock_guard lock(guard_);
  return tasks_.size();
}

void thread_pool::work() {
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock lock(guard_);
      changed_.wait(lock, [this] { return stopped_ || !tasks_.empty(); });
      if (stopped_)
        return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    run_guarded(task);
  }
}

} // namespace troupe
