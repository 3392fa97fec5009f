// Readiness of descriptors, armed from any thread by one system call and without waking anybody: an
// epoll set. The loop watches its own as one descriptor; the actors' threads wait in theirs. Bound:
// the process's descriptors.
#pragma once

#include "messages/io_loop.hpp"

#include <memory>

namespace troupe {

class readiness : public fd_watcher {
public:
  /// Throws std::system_error when the system has no descriptor left.
  readiness();
  readiness(const readiness&) = delete;
  readiness& operator=(const readiness&) = delete;
  ~readiness() override;

  /// Readable when something watched is ready.
  int descriptor() const;
  /// Calls back for what is ready now, on this thread; at most so many that others get their turn.
  void dispatch();
  /// The same, but waits until something is ready or somebody interrupts.
  void wait();
  /// Makes one wait() return, a present or the next one.
  void interrupt();
  /// Watches a duplicate of `fd`; null when that cannot be, and errno says why (EPERM: a file).
  std::unique_ptr<fd_watch> watch(int fd) override;
  /// Drops what is armed; nothing is called back any more, and later calls do nothing.
  void close();

private:
  struct set;
  struct entry;
  class handle;
  std::shared_ptr<set> set_; ///< handles may outlive us
};

} // namespace troupe
