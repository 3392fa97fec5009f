// SIGINT, SIGTERM and SIGHUP for the commands that run an engine: the first asks for an orderly
// end, the second ends the process at once. SIGHUP may be given another meaning. Made before any
// other thread, so that all inherit the mask.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace troupe::cli {

class signal_watch {
public:
  /// Blocks the signals in this thread, ignores SIGPIPE and starts the thread that waits for them.
  signal_watch();
  ~signal_watch();
  signal_watch(const signal_watch&) = delete;
  signal_watch& operator=(const signal_watch&) = delete;

  /// The signal that came first, or 0.
  int signal() const { return first_; }
  /// Until a signal comes.
  void wait();
  /// True when a signal has come by then.
  bool wait_for(std::chrono::milliseconds limit);

  /// What SIGHUP does from now on, on the watching thread; nothing: it ends like the others. When
  /// this returns, what it did before is not running.
  void on_hangup(std::function<void()> act);

private:
  void watch(int signals, int ending);

  std::atomic<int> first_{0};
  std::mutex guard_;
  std::mutex hangup_guard_;
  std::function<void()> hangup_;
  std::condition_variable came_;
  int signals_ = -1;
  int ending_ = -1;
  std::thread thread_;
};

/// What SIGHUP does while this lives.
class hangup_meaning {
public:
  hangup_meaning(signal_watch& signals, std::function<void()> act) : signals_(signals) {
    signals_.on_hangup(std::move(act));
  }
  ~hangup_meaning() { signals_.on_hangup({}); }
  hangup_meaning(const hangup_meaning&) = delete;
  hangup_meaning& operator=(const hangup_meaning&) = delete;

private:
  signal_watch& signals_;
};

/// For commands that hold nothing: SIGINT ends them at once with exit code 130.
void exit_on_interrupt();
/// Whether a line of standard error is being drawn over: the end by SIGINT empties it then.
void empty_line_on_interrupt(bool drawn);

} // namespace troupe::cli
