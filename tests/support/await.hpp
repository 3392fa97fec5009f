// Waiting in tests: for an event, with a deadline, never for a time. A latch that is set by the
// code under test wakes the test at once.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <poll.h>

namespace troupe::tests {

/// Long enough for a sanitizer build on a busy machine; a passing test never waits for it.
inline constexpr std::chrono::seconds patience{60};

/// Counts events; await() returns as soon as there are enough.
class event_counter {
public:
  void add() {
    const std::lock_guard lock(guard_); // also while waking: the waiter may destroy us at once
    ++count_;
    changed_.notify_all();
  }
  int count() const {
    const std::lock_guard lock(guard_);
    return count_;
  }
  /// False when the deadline came first.
  bool await(int at_least, std::chrono::milliseconds limit = patience) {
    std::unique_lock lock(guard_);
    return changed_.wait_for(lock, limit, [&] { return count_ >= at_least; });
  }

private:
  mutable std::mutex guard_;
  std::condition_variable changed_;
  int count_ = 0;
};

/// For what wakes nobody (a file appears, a process ends): looks until it holds or time is over.
template<class Condition>
bool await_until(Condition holds, std::chrono::milliseconds limit = patience) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline)
      return false;
    poll(nullptr, 0, 2);
  }
  return true;
}

} // namespace troupe::tests
