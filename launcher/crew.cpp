#include "launcher/crew.hpp"

#include <cerrno>
#include <functional>
#include <sys/timerfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace troupe {

namespace {

/// True while this thread calls back for sockets: what they put it takes itself.
thread_local bool collects = false;

} // namespace

/// Calls back in both places where somebody may wait.
class crew::alarm {
public:
  alarm(readiness& one, readiness& other)
      : descriptor_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
    if (descriptor_ >= 0)
      watches_ = {one.watch(descriptor_), other.watch(descriptor_)};
    if (watches_[0] && watches_[1])
      return;
    const int reason = errno;
    if (descriptor_ >= 0)
      ::close(descriptor_);
    throw std::system_error(reason, std::generic_category(), "a timer");
  }
  alarm(const alarm&) = delete;
  alarm& operator=(const alarm&) = delete;
  ~alarm() { ::close(descriptor_); }

  void set(const std::function<void()>& callback) {
    static_assert(patience < std::chrono::seconds{1});
    itimerspec when{};
    when.it_value.tv_nsec = std::chrono::nanoseconds{patience}.count();
    static_cast<void>(::timerfd_settime(descriptor_, 0, &when, nullptr));
    for (auto& watch : watches_)
      watch->when_readable(callback);
  }

private:
  int descriptor_;
  std::array<std::unique_ptr<fd_watch>, 2> watches_;
};

crew::crew(readiness& sockets)
    : sockets_(sockets), alarm_(std::make_unique<alarm>(sockets_, parking_)) {}

crew::~crew() = default;

void crew::put(job one) {
  std::unique_lock lock(guard_);
  jobs_.push_back(one);
  if (jobs_.size() > backlog || (running_ == 0 && !collects))
    wake();
  else
    watch(lock);
}

crew::job crew::take(member& me) {
  std::unique_lock lock(guard_);
  finished(me);
  if (++me.jobs % jobs_between_looks == 0 && !polling_)
    poll(lock, &readiness::dispatch);
  while (jobs_.empty()) {
    if (polling_)
      park(lock);
    else
      poll(lock, &readiness::wait);
  }
  const auto next = jobs_.front();
  jobs_.pop_front();
  me.runs = true;
  ++running_;
  if (jobs_.size() > backlog)
    wake();
  watch(lock);
  return next;
}

/// Has an idle thread look here soon, if there is one: what waits, and the sockets, may otherwise
/// wait for who is busy now. Unlocks.
void crew::watch(std::unique_lock<std::mutex>& lock) {
  if ((!polling_ && parked_ == 0) || std::exchange(alarmed_, true))
    return lock.unlock();
  lock.unlock();
  alarm_->set([this] {
    const std::lock_guard again(guard_);
    alarmed_ = false;
  });
}

void crew::leave(member& me) {
  const std::lock_guard lock(guard_);
  finished(me);
  if (!jobs_.empty())
    wake();
}

std::deque<crew::job> crew::rest() {
  const std::lock_guard lock(guard_);
  return std::exchange(jobs_, {});
}

void crew::finished(member& me) {
  if (std::exchange(me.runs, false))
    --running_;
}

void crew::poll(std::unique_lock<std::mutex>& lock, void (readiness::*look)()) {
  polling_ = true;
  lock.unlock();
  collects = true;
  (sockets_.*look)();
  collects = false;
  lock.lock();
  polling_ = waking_ = false;
}

void crew::park(std::unique_lock<std::mutex>& lock) {
  ++parked_;
  lock.unlock();
  parking_.wait();
  lock.lock();
  --parked_;
  waking_ = false;
}

/// One thread, if any is idle.
void crew::wake() {
  if (waking_)
    return;
  // With nobody running the one at the sockets was busy last, and is the warmer.
  if (polling_ && (running_ == 0 || parked_ == 0))
    sockets_.interrupt();
  else if (parked_ > 0)
    parking_.interrupt();
  else
    return;
  waking_ = true;
}

} // namespace troupe
