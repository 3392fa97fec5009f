#include "launcher/readiness.hpp"

#include "messages/log.hpp"

#include <array>
#include <cerrno>
#include <exception>
#include <fcntl.h>
#include <mutex>
#include <string>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>
#include <unordered_map>
#include <utility>

namespace troupe {

namespace {

using callback = std::function<void()>;

/// Events taken in one turn of the loop.
constexpr std::size_t most_at_once = 64;
/// Stands where watches have their number, which begins with 1.
constexpr std::uint64_t interruption = 0;

void call(const callback& wanted) {
  if (!wanted)
    return;
  try {
    wanted();
  } catch (const std::exception& thrown) {
    log::error("loop", std::string("an exception left a callback: ") + thrown.what());
  }
}

} // namespace

struct readiness::set {
  int descriptor = -1;
  int interruptions = -1; ///< an eventfd in the set
  std::mutex guard;
  std::unordered_map<std::uint64_t, std::shared_ptr<entry>> entries;
  std::uint64_t last_id = 0;
  bool closed = false;

  ~set() {
    for (const int one : {interruptions, descriptor})
      if (one >= 0)
        ::close(one);
  }
  std::shared_ptr<entry> find(std::uint64_t id) {
    const std::lock_guard lock(guard);
    const auto found = entries.find(id);
    return found == entries.end() ? nullptr : found->second;
  }
  void dispatch(int limit_ms);
};

/// One watched descriptor. Armed for one event at a time (EPOLLONESHOT), so that nobody is called
/// again before he has read.
struct readiness::entry {
  std::mutex guard;
  int descriptor = -1;
  std::uint64_t id = 0;
  callback readable;
  callback writable;

  ~entry() {
    if (descriptor >= 0)
      ::close(descriptor);
  }
  /// With the guard held.
  void arm(int into) const {
    epoll_event wanted{};
    wanted.events = EPOLLONESHOT;
    if (readable)
      wanted.events |= EPOLLIN | EPOLLRDHUP;
    if (writable)
      wanted.events |= EPOLLOUT;
    wanted.data.u64 = id;
    if (descriptor >= 0)
      ::epoll_ctl(into, EPOLL_CTL_MOD, descriptor, &wanted);
  }
  /// Takes what the events concern; arms again for what they do not.
  std::pair<callback, callback> take(std::uint32_t events, int into) {
    const std::lock_guard lock(guard);
    constexpr std::uint32_t trouble = EPOLLERR | EPOLLHUP;
    std::pair<callback, callback> taken;
    if ((events & (EPOLLIN | EPOLLRDHUP | trouble)) != 0)
      taken.first = std::exchange(readable, nullptr);
    if ((events & (EPOLLOUT | trouble)) != 0)
      taken.second = std::exchange(writable, nullptr);
    if (readable || writable)
      arm(into);
    return taken;
  }
  /// The callbacks are given back, so that what they hold dies outside of the lock.
  std::pair<callback, callback> end(int set_descriptor) {
    const std::lock_guard lock(guard);
    if (descriptor >= 0) {
      // Closing is not enough: the owner's descriptor means the same open file.
      ::epoll_ctl(set_descriptor, EPOLL_CTL_DEL, descriptor, nullptr);
      ::close(std::exchange(descriptor, -1));
    }
    return {std::exchange(readable, nullptr), std::exchange(writable, nullptr)};
  }
};

void readiness::set::dispatch(int limit_ms) {
  std::array<epoll_event, most_at_once> ready{};
  const int count = ::epoll_wait(descriptor, ready.data(), ready.size(), limit_ms);
  for (int i = 0; i < count; ++i) {
    const auto& event = ready[static_cast<std::size_t>(i)];
    const auto found = find(event.data.u64);
    if (!found) // an interruption, or a watch that ended meanwhile
      continue;
    const auto [readable, writable] = found->take(event.events, descriptor);
    call(readable);
    call(writable);
  }
}

class readiness::handle : public fd_watch {
public:
  handle(std::shared_ptr<set> in, std::shared_ptr<entry> of)
      : set_(std::move(in)), entry_(std::move(of)) {}
  handle(const handle&) = delete;
  handle& operator=(const handle&) = delete;
  ~handle() override {
    {
      const std::lock_guard lock(set_->guard);
      set_->entries.erase(entry_->id);
    }
    const auto dropped = entry_->end(set_->descriptor);
  }

  void when_readable(callback wanted) override { arm(&entry::readable, std::move(wanted)); }
  void when_writable(callback wanted) override { arm(&entry::writable, std::move(wanted)); }

private:
  void arm(callback entry::*side, callback wanted) {
    const std::lock_guard lock(entry_->guard);
    if (entry_->descriptor < 0)
      return;
    std::swap((*entry_).*side, wanted); // the earlier one dies with `wanted`, after the lock
    entry_->arm(set_->descriptor);
  }

  std::shared_ptr<set> set_;
  std::shared_ptr<entry> entry_;
};

readiness::readiness() : set_(std::make_shared<set>()) {
  set_->descriptor = ::epoll_create1(EPOLL_CLOEXEC);
  set_->interruptions = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  // Edge-triggered: each write is one event, and the number in it is never read.
  epoll_event edge{};
  edge.events = EPOLLIN | EPOLLET;
  edge.data.u64 = interruption;
  if (set_->descriptor < 0 || set_->interruptions < 0
      || ::epoll_ctl(set_->descriptor, EPOLL_CTL_ADD, set_->interruptions, &edge) != 0)
    throw std::system_error(errno, std::generic_category(), "an epoll set");
}

readiness::~readiness() {
  close();
}

int readiness::descriptor() const {
  return set_->descriptor;
}

void readiness::dispatch() {
  set_->dispatch(0);
}

void readiness::wait() {
  set_->dispatch(-1);
}

void readiness::interrupt() {
  const std::uint64_t one = 1;
  // It cannot fail before 2^64 interruptions.
  static_cast<void>(::write(set_->interruptions, &one, sizeof one));
}

std::unique_ptr<fd_watch> readiness::watch(int fd) {
  auto made = std::make_shared<entry>();
  made->descriptor = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (made->descriptor < 0)
    return nullptr;
  bool closed = false;
  {
    const std::lock_guard lock(set_->guard);
    made->id = ++set_->last_id;
    closed = set_->closed;
    if (!closed)
      set_->entries.emplace(made->id, made);
  }
  epoll_event nothing_yet{};
  nothing_yet.events = EPOLLONESHOT;
  nothing_yet.data.u64 = made->id;
  const bool added =
      ::epoll_ctl(set_->descriptor, EPOLL_CTL_ADD, made->descriptor, &nothing_yet) == 0;
  const int reason = errno;
  auto watching = std::make_unique<handle>(set_, made);
  if (!added)
    watching.reset();
  else if (closed)
    const auto dropped = made->end(set_->descriptor);
  errno = reason;
  return watching;
}

void readiness::close() {
  std::unordered_map<std::uint64_t, std::shared_ptr<entry>> left;
  {
    const std::lock_guard lock(set_->guard);
    set_->closed = true;
    left.swap(set_->entries);
  }
  for (const auto& [id, one] : left)
    const auto dropped = one->end(set_->descriptor);
}

} // namespace troupe
