// Readiness of descriptors, armed from any thread by one system call and without waking the loop:
// an epoll set of its own, which the loop watches as one descriptor. Bound: the process's
// descriptors.
#pragma once

#include "messages/io_loop.hpp"

#include <memory>

namespace troupe {

class readiness {
public:
  /// Throws std::system_error when the system has no descriptor left.
  readiness();
  readiness(const readiness&) = delete;
  readiness& operator=(const readiness&) = delete;
  ~readiness();

  /// Readable when something watched is ready.
  int descriptor() const;
  /// Calls back for what is ready now, on this thread; at most so many that others get their turn.
  void dispatch();
  /// Watches a duplicate of `fd`; null when that cannot be, and errno says why (EPERM: a file).
  std::unique_ptr<fd_watch> watch(int fd);
  /// Drops what is armed; nothing is called back any more, and later calls do nothing.
  void close();

private:
  struct set;
  struct entry;
  class handle;
  std::shared_ptr<set> set_; ///< handles may outlive us
};

} // namespace troupe
