// Sockets, timers and names, seen from rooms that do not know Asio. Every member may be called from
// any thread. The loop (launcher/asio_loop.cpp) has one thread, on which its callbacks run; the
// database's sockets are watched by the actors' own threads (launcher/socket_scheduler.cpp). No
// callback may block.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// Readiness of one descriptor. Holds a duplicate of it, so the owner may close its own at any
/// time. Destroying the watch (from any thread) cancels what is armed; a callback already on its
/// way may still run, so callbacks hold weak references.
class fd_watch {
public:
  virtual ~fd_watch() = default;
  /// Calls back once when the descriptor is readable (or in error). Arming twice is one call.
  virtual void when_readable(std::function<void()> callback) = 0;
  /// The same for writable.
  virtual void when_writable(std::function<void()> callback) = 0;
};

class io_timer {
public:
  virtual ~io_timer() = default;
  /// Calls back once after the delay; arming again replaces the earlier call.
  virtual void after(std::chrono::milliseconds delay, std::function<void()> callback) = 0;
  virtual void cancel() = 0;
};

/// What a host's name stands for.
struct resolution {
  std::vector<std::string> addresses; ///< numeric, in the order to try; empty: see failure
  std::string failure;                ///< in words, with the name
};

class fd_watcher {
public:
  virtual ~fd_watcher() = default;
  /// Watches a descriptor; null when it cannot be duplicated or registered (errno says why).
  virtual std::unique_ptr<fd_watch> watch(int fd) = 0;
};

class io_loop : public fd_watcher {
public:
  virtual void post(std::function<void()> callback) = 0;
  virtual std::unique_ptr<io_timer> timer() = 0;
  /// Looks a name up off the loop's thread, which may take many seconds, and calls back on it. Ends
  /// with the loop at the latest, without a call.
  virtual void resolve(std::string host, std::function<void(resolution)> callback) = 0;
  /// Does what blocks off the loop's thread, and then calls back on it. False: not done, because
  /// too many wait for that already. Ends with the loop at the latest, without a call.
  virtual bool beside(std::function<void()> blocking, std::function<void()> then) = 0;
};

} // namespace troupe
