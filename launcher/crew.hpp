// The queue of jobs that a crew of threads shares, and who of them waits where. Asked by the
// scheduler of the actors. A thread that runs a job looks at the queue right after it, so it is
// left alone with a short backlog: a wake-up costs more than most jobs do. Of the idle threads one
// waits for sockets, the others are parked. Should a job run for long, an alarm wakes an idle
// thread, which takes what waits and looks after the sockets.
#pragma once

#include "launcher/readiness.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>

namespace caf {
class resumable;
} // namespace caf

namespace troupe {

class crew {
public:
  /// CAF's: an actor that has messages. Never null, never looked into.
  using job = caf::resumable*;
  /// Jobs that may wait for a busy thread while another one is idle, and for how long they may.
  static constexpr std::size_t backlog = 2;
  static constexpr std::chrono::milliseconds patience{5};
  /// With no thread idle, sockets are looked at after so many jobs of one thread.
  static constexpr unsigned jobs_between_looks = 16;

  /// One of the threads.
  struct member {
    bool runs = false;
    unsigned jobs = 0;
  };

  /// The crew alone waits in `sockets`, which outlives it. Throws std::system_error when the system
  /// has no descriptor left.
  explicit crew(readiness& sockets);
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;
  ~crew();

  /// From any thread. First in, first out.
  void put(job one);
  /// The next job of this thread, which has finished its last one; waits for it. What it calls back
  /// for sockets meanwhile runs on this thread.
  job take(member& me);
  /// This thread will take no more.
  void leave(member& me);
  /// What nobody took. When all threads have left.
  std::deque<job> rest();

private:
  class alarm;

  void finished(member& me);
  void poll(std::unique_lock<std::mutex>& lock, void (readiness::*look)());
  void park(std::unique_lock<std::mutex>& lock);
  void watch(std::unique_lock<std::mutex>& lock);
  void wake();

  readiness& sockets_;
  readiness parking_; ///< where those wait who have nothing to do
  std::unique_ptr<alarm> alarm_;
  std::mutex guard_;
  std::deque<job> jobs_;
  std::size_t running_ = 0;
  std::size_t parked_ = 0;
  bool polling_ = false; ///< one waits for sockets
  bool waking_ = false;  ///< one was woken and is not here yet
  bool alarmed_ = false; ///< the alarm is set
};

} // namespace troupe
