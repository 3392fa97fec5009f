#include "launcher/side_threads.hpp"

#include "launcher/threads.hpp"

#include <deque>
#include <mutex>
#include <system_error>
#include <utility>

namespace troupe {

struct side_threads::state {
  struct job {
    std::function<void()> blocking;
    std::function<void()> then;
  };

  std::mutex guard;
  const char* name = "";
  bounds most;
  bool stopped = false;
  int threads = 0;
  std::deque<std::shared_ptr<job>> waiting;
  /// In progress; the threads hold weak references, so that stop() drops the callbacks.
  std::deque<std::shared_ptr<job>> running;

  /// A thread's life: job after job, until none waits.
  void work() {
    while (auto next = take()) {
      next->blocking();
      if (const auto done = finish(next->which))
        done->then();
    }
  }

  struct taken {
    std::function<void()> blocking;
    std::weak_ptr<job> which;
  };
  std::optional<taken> take() {
    const std::lock_guard lock(guard);
    if (stopped || waiting.empty()) {
      --threads;
      return std::nullopt;
    }
    running.push_back(std::move(waiting.front()));
    waiting.pop_front();
    return taken{std::move(running.back()->blocking), running.back()};
  }

  std::shared_ptr<job> finish(const std::weak_ptr<job>& which) {
    const std::lock_guard lock(guard);
    auto done = which.lock();
    std::erase(running, done);
    return stopped ? nullptr : done;
  }
};

side_threads::side_threads(const char* name, bounds most) : state_(std::make_shared<state>()) {
  state_->name = name;
  state_->most = most;
}

side_threads::~side_threads() {
  stop();
}

std::optional<std::string> side_threads::run(std::function<void()> blocking,
                                             std::function<void()> then) {
  auto wanted = std::make_shared<state::job>(state::job{std::move(blocking), std::move(then)});
  {
    const std::lock_guard lock(state_->guard);
    if (state_->stopped)
      return std::nullopt;
    if (state_->waiting.size() >= state_->most.waiting)
      return "too many wait already";
    state_->waiting.push_back(wanted);
    if (state_->threads >= state_->most.threads)
      return std::nullopt;
    ++state_->threads;
  }
  try {
    start_thread(state_->name, [kept = state_] { kept->work(); }).detach();
  } catch (const std::system_error& e) {
    const std::lock_guard lock(state_->guard);
    --state_->threads;
    if (state_->threads > 0) // it will be done, or is, by one of the others
      return std::nullopt;
    if (std::erase(state_->waiting, wanted) > 0)
      return e.what();
  }
  return std::nullopt;
}

void side_threads::stop() {
  std::deque<std::shared_ptr<state::job>> dropped; // callbacks die outside the lock
  std::deque<std::shared_ptr<state::job>> abandoned;
  const std::lock_guard lock(state_->guard);
  state_->stopped = true;
  std::swap(dropped, state_->waiting);
  std::swap(abandoned, state_->running);
}

} // namespace troupe
