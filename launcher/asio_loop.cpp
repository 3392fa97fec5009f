// The loop's inside. Each watch and timer is a small handle over a shared state; the state lives on
// the loop's thread, is closed there, and is what handlers in flight keep alive.
#include "launcher/asio_loop.hpp"

#include "launcher/name_lookup.hpp"
#include "launcher/readiness.hpp"
#include "launcher/threads.hpp"
#include "messages/log.hpp"
#include "messages/thread_role.hpp"

#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <exception>
#include <fcntl.h>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace troupe {

namespace asio = boost::asio;

namespace {

/// What the loop closes when it stops.
class closable {
public:
  virtual ~closable() = default;
  /// On the loop's thread, or when that thread has ended.
  virtual void close() = 0;
};

class timer_state : public closable, public std::enable_shared_from_this<timer_state> {
public:
  explicit timer_state(asio::io_context& context) : timer_(context) {}

  /// Makes every earlier call void, from any thread; the number names the next one.
  std::uint64_t next_turn() { return turn_.fetch_add(1) + 1; }

  void arm(std::uint64_t turn, std::chrono::steady_clock::time_point deadline,
           std::function<void()> callback) {
    if (closed_ || turn != turn_.load())
      return;
    timer_.expires_at(deadline);
    timer_.async_wait([self = shared_from_this(), turn,
                       call = std::move(callback)](boost::system::error_code failed) {
      if (!failed && turn == self->turn_.load())
        call();
    });
  }

  void disarm() { timer_.cancel(); }

  void close() override {
    closed_ = true;
    next_turn();
    timer_.cancel();
  }

private:
  asio::steady_timer timer_;
  std::atomic<std::uint64_t> turn_{0};
  bool closed_ = false;
};

} // namespace

struct asio_loop::core {
  /// Single-threaded use of run(), thread-safe everything else.
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::atomic<bool> stopped{false};
  readiness ready;
  name_lookup names;
  side_threads others{"troupe-beside", {}}; // cancels, which may find silent servers, too

  /// Keeps track of a state so that stop() can close it: without that, a callback which owns its
  /// own watch would keep itself alive for ever.
  void enlist(const std::shared_ptr<closable>& state) {
    const std::lock_guard lock(guard_);
    open_.emplace(state.get(), state);
  }

  /// Closes on the loop's thread, now or soon.
  void retire(std::shared_ptr<closable> state) {
    {
      const std::lock_guard lock(guard_);
      open_.erase(state.get());
    }
    asio::dispatch(context, [state = std::move(state)] { state->close(); });
  }

  template<class Task>
  void post(Task task) {
    if (!stopped.load())
      asio::post(context, std::move(task));
  }
  template<class Task>
  void dispatch(Task task) {
    if (!stopped.load())
      asio::dispatch(context, std::move(task));
  }

  void run() {
    await_readiness();
    while (!guarded([this] { return context.run(); }).has_value()) {
    }
    drain();
  }

  /// At the end, on the loop's thread if there was one: closes what is armed and drops what is
  /// queued, so that nothing keeps itself alive.
  void drain() {
    names.stop();
    others.stop();
    ready.close();
    std::vector<std::shared_ptr<closable>> left;
    {
      const std::lock_guard lock(guard_);
      for (auto& entry : open_) {
        if (auto state = entry.second.lock())
          left.push_back(std::move(state));
      }
      open_.clear();
    }
    for (const auto& state : left)
      state->close();
    context.restart();
    for (int handled = 0; handled < drain_bound; ++handled) {
      if (guarded([this] { return context.poll_one(); }) == std::size_t{0})
        return;
    }
  }

private:
  /// Level-triggered: what dispatch() leaves calls again.
  void await_readiness() {
    ready_descriptor_.async_wait(asio::posix::stream_descriptor::wait_read,
                                 [this](boost::system::error_code failed) {
                                   if (failed)
                                     return;
                                   ready.dispatch();
                                   await_readiness();
                                 });
  }

  /// Handlers that drain() still takes, in case one of them queues another for ever.
  static constexpr int drain_bound = 100'000;

  /// What the step answered; nothing when an exception came out of a callback.
  template<class Step>
  static std::optional<std::size_t> guarded(Step step) {
    try {
      return step();
    } catch (const std::exception& thrown) {
      log::error("loop", std::string("an exception left a callback: ") + thrown.what());
      return std::nullopt;
    }
  }

  /// Its own, which Asio closes; the set has another one.
  asio::posix::stream_descriptor ready_descriptor_{context,
                                                   fcntl(ready.descriptor(), F_DUPFD_CLOEXEC, 0)};
  std::mutex guard_;
  std::unordered_map<closable*, std::weak_ptr<closable>> open_;
};

namespace {

template<class Core>
class asio_timer : public io_timer {
public:
  asio_timer(std::shared_ptr<Core> core, std::shared_ptr<timer_state> state)
      : core_(std::move(core)), state_(std::move(state)) {}
  asio_timer(const asio_timer&) = delete;
  asio_timer& operator=(const asio_timer&) = delete;
  ~asio_timer() override {
    state_->next_turn();
    core_->retire(std::move(state_));
  }

  void after(std::chrono::milliseconds delay, std::function<void()> callback) override {
    const auto deadline = std::chrono::steady_clock::now() + delay;
    const auto turn = state_->next_turn();
    core_->dispatch([state = state_, turn, deadline, call = std::move(callback)]() mutable {
      state->arm(turn, deadline, std::move(call));
    });
  }
  void cancel() override {
    state_->next_turn();
    core_->dispatch([state = state_] { state->disarm(); });
  }

private:
  std::shared_ptr<Core> core_;
  std::shared_ptr<timer_state> state_;
};

} // namespace

asio_loop::asio_loop() : core_(std::make_shared<core>()) {}

asio_loop::~asio_loop() {
  stop();
}

void asio_loop::start() {
  thread_ = start_thread("troupe-loop", [core = core_] {
    never_blocks = "the I/O loop";
    core->run();
  });
}

void asio_loop::stop() {
  core_->stopped.store(true);
  core_->work.reset();
  core_->context.stop();
  if (thread_.joinable())
    thread_.join();
  else
    core_->drain();
}

asio::io_context& asio_loop::context() {
  return core_->context;
}

bool asio_loop::on_loop_thread() const {
  return core_->context.get_executor().running_in_this_thread();
}

void asio_loop::post(std::function<void()> callback) {
  core_->post([core = core_.get(), call = std::move(callback)] {
    if (!core->stopped.load())
      call();
  });
}

std::unique_ptr<fd_watch> asio_loop::watch(int fd) {
  return core_->ready.watch(fd);
}

std::unique_ptr<io_timer> asio_loop::timer() {
  auto state = std::make_shared<timer_state>(core_->context);
  core_->enlist(state);
  return std::make_unique<asio_timer<core>>(core_, std::move(state));
}

void asio_loop::resolve(std::string host, std::function<void(resolution)> callback) {
  // The lookup outlives nobody: stop() drops it, and what it still posts meets a stopped loop.
  core_->names.start(std::move(host), [weak = std::weak_ptr<core>(core_),
                                       call = std::move(callback)](resolution found) mutable {
    if (const auto alive = weak.lock())
      alive->post([core = alive.get(), call = std::move(call), found = std::move(found)]() mutable {
        if (!core->stopped.load())
          call(std::move(found));
      });
  });
}

bool asio_loop::beside(std::function<void()> blocking, std::function<void()> then) {
  const auto why = core_->others.run(
      std::move(blocking), [weak = std::weak_ptr<core>(core_), call = std::move(then)]() mutable {
        if (const auto alive = weak.lock())
          alive->post([core = alive.get(), call = std::move(call)] {
            if (!core->stopped.load())
              call();
          });
      });
  return !why;
}

} // namespace troupe
