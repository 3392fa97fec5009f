#include "tests/support/poll_loop.hpp"

#include "tests/support/await.hpp"

#include <algorithm>
#include <deque>
#include <fcntl.h>
#include <future>
#include <map>
#include <mutex>
#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace troupe::tests {

namespace {
using clock = std::chrono::steady_clock;
using callback = std::function<void()>;
} // namespace

struct poll_loop::state {
  struct armed {
    int fd = -1;
    callback readable;
    callback writable;
  };
  struct alarm {
    clock::time_point due;
    callback then;
  };

  state() : wake_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (wake_fd < 0)
      throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  ~state() { ::close(wake_fd); }
  state(const state&) = delete;
  state& operator=(const state&) = delete;

  void wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_fd, &one, sizeof one);
  }

  /// Waits for events and moves what is due into `ready`; false when the loop is to end.
  bool collect(std::vector<callback>& ready) {
    std::vector<pollfd> polled{{wake_fd, POLLIN, 0}};
    std::vector<std::uint64_t> ids{0};
    int wait = -1;
    {
      const std::lock_guard lock(guard);
      if (ending)
        return false;
      for (const auto& [id, w] : watches) {
        const int events = (w.readable ? POLLIN : 0) | (w.writable ? POLLOUT : 0);
        if (events == 0)
          continue;
        polled.push_back({w.fd, static_cast<short>(events), 0});
        ids.push_back(id);
      }
      for (const auto& [id, a] : alarms) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(a.due - clock::now());
        const auto ms = static_cast<int>(std::max<std::int64_t>(left.count(), 0));
        wait = wait < 0 ? ms : std::min(wait, ms);
      }
      if (!posted.empty())
        wait = 0;
    }
    ::poll(polled.data(), polled.size(), wait);
    const std::lock_guard lock(guard);
    std::uint64_t count = 0;
    [[maybe_unused]] const auto drained = ::read(wake_fd, &count, sizeof count);
    for (std::size_t i = 1; i < polled.size(); ++i)
      take_ready(ids[i], polled[i].revents, ready);
    for (auto at = alarms.begin(); at != alarms.end();) {
      if (at->second.due > clock::now()) {
        ++at;
        continue;
      }
      ready.push_back(std::move(at->second.then));
      at = alarms.erase(at);
    }
    ready.insert(ready.end(), std::make_move_iterator(posted.begin()),
                 std::make_move_iterator(posted.end()));
    posted.clear();
    return true;
  }

  void take_ready(std::uint64_t id, short events, std::vector<callback>& ready) {
    const auto found = watches.find(id);
    if (found == watches.end())
      return;
    auto& w = found->second;
    constexpr short trouble = POLLERR | POLLHUP | POLLNVAL;
    if ((events & (POLLIN | trouble)) != 0 && w.readable)
      ready.push_back(std::exchange(w.readable, nullptr));
    if ((events & (POLLOUT | trouble)) != 0 && w.writable)
      ready.push_back(std::exchange(w.writable, nullptr));
  }

  std::mutex guard;
  bool ending = false;
  int wake_fd;
  std::uint64_t last_id = 0;
  std::deque<callback> posted;
  std::map<std::uint64_t, armed> watches;
  std::map<std::uint64_t, alarm> alarms;
};

namespace {

class poll_watch : public fd_watch {
public:
  poll_watch(std::shared_ptr<poll_loop::state> s, int fd) : state_(std::move(s)) {
    const std::lock_guard lock(state_->guard);
    id_ = ++state_->last_id;
    state_->watches[id_].fd = fd;
  }
  ~poll_watch() override {
    poll_loop::state::armed dropped; // its callbacks die outside the lock
    const std::lock_guard lock(state_->guard);
    const auto found = state_->watches.find(id_);
    dropped = std::move(found->second);
    ::close(dropped.fd);
    state_->watches.erase(found);
  }
  poll_watch(const poll_watch&) = delete;
  poll_watch& operator=(const poll_watch&) = delete;

  void when_readable(callback then) override { arm(&poll_loop::state::armed::readable, then); }
  void when_writable(callback then) override { arm(&poll_loop::state::armed::writable, then); }

private:
  void arm(callback poll_loop::state::armed::*which, callback& then) {
    {
      const std::lock_guard lock(state_->guard);
      std::swap(state_->watches[id_].*which, then);
    }
    state_->wake();
  }

  std::shared_ptr<poll_loop::state> state_;
  std::uint64_t id_ = 0;
};

class poll_timer : public io_timer {
public:
  explicit poll_timer(std::shared_ptr<poll_loop::state> s) : state_(std::move(s)) {
    const std::lock_guard lock(state_->guard);
    id_ = ++state_->last_id;
  }
  ~poll_timer() override { poll_timer::cancel(); }
  poll_timer(const poll_timer&) = delete;
  poll_timer& operator=(const poll_timer&) = delete;

  void after(std::chrono::milliseconds delay, callback then) override {
    poll_loop::state::alarm next{clock::now() + delay, std::move(then)};
    {
      const std::lock_guard lock(state_->guard);
      std::swap(state_->alarms[id_], next);
    }
    state_->wake();
  }
  void cancel() override {
    poll_loop::state::alarm dropped;
    const std::lock_guard lock(state_->guard);
    if (const auto found = state_->alarms.find(id_); found != state_->alarms.end()) {
      dropped = std::move(found->second);
      state_->alarms.erase(found);
    }
  }

private:
  std::shared_ptr<poll_loop::state> state_;
  std::uint64_t id_ = 0;
};

} // namespace

poll_loop::poll_loop() : state_(std::make_shared<state>()) {
  thread_ = std::thread([s = state_] {
    std::vector<callback> ready;
    while (s->collect(ready)) {
      for (auto& run : ready) {
        run();
        run = nullptr;
      }
      ready.clear();
    }
  });
}

poll_loop::~poll_loop() {
  {
    const std::lock_guard lock(state_->guard);
    state_->ending = true;
  }
  state_->wake();
  thread_.join();
  beside_.clear();
  // What callbacks hold may post or disarm as it dies; so nothing dies under the lock.
  for (bool more = true; more;) {
    std::vector<callback> dropped;
    const std::lock_guard lock(state_->guard);
    for (auto& one : state_->posted)
      dropped.push_back(std::move(one));
    state_->posted.clear();
    for (auto& [id, w] : state_->watches) {
      dropped.push_back(std::exchange(w.readable, nullptr));
      dropped.push_back(std::exchange(w.writable, nullptr));
    }
    for (auto& [id, a] : state_->alarms)
      dropped.push_back(std::move(a.then));
    state_->alarms.clear();
    std::erase(dropped, nullptr);
    more = !dropped.empty();
  }
}

void poll_loop::post(callback run) {
  {
    const std::lock_guard lock(state_->guard);
    state_->posted.push_back(std::move(run));
  }
  state_->wake();
}

std::unique_ptr<fd_watch> poll_loop::watch(int fd) {
  const int own = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0)
    return nullptr;
  return std::make_unique<poll_watch>(state_, own);
}

std::unique_ptr<io_timer> poll_loop::timer() {
  return std::make_unique<poll_timer>(state_);
}

void poll_loop::resolve(std::string host, std::function<void(resolution)> callback) {
  post([host = std::move(host), callback = std::move(callback)] {
    resolution found;
    addrinfo* list = nullptr;
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    if (const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &list); code != 0)
      found.failure = host + ": " + ::gai_strerror(code);
    for (const auto* one = list; one != nullptr; one = one->ai_next) {
      char text[NI_MAXHOST];
      if (::getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, nullptr, 0,
                        NI_NUMERICHOST)
          == 0)
        found.addresses.emplace_back(text);
    }
    if (list != nullptr)
      ::freeaddrinfo(list);
    callback(std::move(found));
  });
}

bool poll_loop::beside(std::function<void()> blocking, std::function<void()> then) {
  if (beside_fails)
    return false;
  const std::lock_guard lock(state_->guard);
  beside_.emplace_back([this, blocking = std::move(blocking), then = std::move(then)] {
    blocking();
    post(then);
  });
  return true;
}

void poll_loop::run(const std::function<void()>& task) {
  std::promise<void> done;
  post([&] {
    task();
    done.set_value();
  });
  done.get_future().get();
}

bool poll_loop::turn_until(const std::function<bool()>& condition) {
  const auto deadline = clock::now() + patience;
  while (!condition()) {
    if (clock::now() > deadline)
      return false;
    run([] {});
  }
  return true;
}

} // namespace troupe::tests
