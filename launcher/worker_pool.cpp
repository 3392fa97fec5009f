// The queue is under one lock; a task costs milliseconds or more, so the lock is not what limits.
#include "launcher/worker_pool.hpp"

#include "launcher/threads.hpp"
#include "messages/log.hpp"

#include <algorithm>
#include <exception>
#include <string>
#include <system_error>
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

thread_pool::thread_pool(std::size_t threads, std::size_t bound)
    : bound_(bound), size_(std::max<std::size_t>(threads, 1)) {
  threads_.reserve(size_ + most_stuck);
  try {
    for (std::size_t i = 0; i < size_; ++i)
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

std::size_t thread_pool::allowed() const {
  return size_ + std::min(stuck_, most_stuck);
}

void thread_pool::begin_stuck() {
  const std::lock_guard lock(guard_);
  ++stuck_;
  if (stopped_)
    return;
  try { // those of earlier stuck tasks are still there, and idle
    if (threads_.size() < allowed())
      threads_.push_back(start_thread("troupe-worker", [this] { work(); }));
  } catch (const std::system_error& e) {
    log::warn("worker", std::string("no thread in place of one that is stuck: ") + e.what());
  }
  changed_.notify_one();
}

void thread_pool::end_stuck() {
  const std::lock_guard lock(guard_);
  --stuck_;
}

void thread_pool::stop() {
  while (!stop_within(std::chrono::hours{1})) {
  }
}

bool thread_pool::stop_within(std::chrono::milliseconds limit) {
  std::deque<std::function<void()>> dropped;
  std::unique_lock lock(guard_);
  stopped_ = true;
  dropped.swap(tasks_);
  lock.unlock();
  changed_.notify_all();
  dropped.clear();
  lock.lock();
  if (!changed_.wait_for(lock, limit, [this] { return busy_ == 0; }))
    return false;
  auto threads = std::exchange(threads_, {});
  lock.unlock();
  for (std::thread& thread : threads)
    thread.join();
  return true;
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
      changed_.wait(lock, [this] { return stopped_ || (!tasks_.empty() && busy_ < allowed()); });
      if (stopped_)
        return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
      ++busy_;
    }
    run_guarded(task);
    task = nullptr; // what it holds may tell somebody
    const std::lock_guard lock(guard_);
    --busy_;
    if (stopped_)
      changed_.notify_all();
    else if (!tasks_.empty())
      changed_.notify_one();
  }
}

} // namespace troupe
