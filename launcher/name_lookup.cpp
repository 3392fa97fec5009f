#include "launcher/name_lookup.hpp"

#include "launcher/threads.hpp"

#include <algorithm>
#include <deque>
#include <mutex>
#include <netdb.h>
#include <optional>
#include <system_error>
#include <utility>

namespace troupe {

struct name_lookup::state {
  struct job {
    std::string host;
    answer callback;
  };

  std::mutex guard;
  resolver blocking;
  bool stopped = false;
  int threads = 0;
  std::deque<std::shared_ptr<job>> waiting;
  /// In progress; the threads hold weak references, so that stop() drops the callbacks.
  std::deque<std::shared_ptr<job>> running;

  /// A thread's life: job after job, until none waits.
  void work() {
    while (auto next = take()) {
      auto found = blocking(next->host);
      if (const auto done = finish(next->which))
        done->callback(std::move(found));
    }
  }

  struct taken {
    std::string host;
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
    return taken{running.back()->host, running.back()};
  }

  std::shared_ptr<job> finish(const std::weak_ptr<job>& which) {
    const std::lock_guard lock(guard);
    auto done = which.lock();
    std::erase(running, done);
    return stopped ? nullptr : done;
  }
};

name_lookup::name_lookup(resolver blocking) : state_(std::make_shared<state>()) {
  state_->blocking = std::move(blocking);
}

name_lookup::~name_lookup() {
  stop();
}

void name_lookup::start(std::string host, answer callback) {
  auto wanted = std::make_shared<state::job>(state::job{std::move(host), std::move(callback)});
  bool refused = false;
  bool begin = false;
  {
    const std::lock_guard lock(state_->guard);
    if (state_->stopped)
      return;
    refused = state_->waiting.size() >= max_waiting;
    if (!refused) {
      state_->waiting.push_back(wanted);
      begin = state_->threads < max_threads;
      state_->threads += begin ? 1 : 0;
    }
  }
  if (refused)
    wanted->callback({{}, wanted->host + ": too many names are being looked up"});
  if (!begin)
    return;
  try {
    start_thread("troupe-names", [kept = state_] { kept->work(); }).detach();
  } catch (const std::system_error& e) {
    {
      const std::lock_guard lock(state_->guard);
      --state_->threads;
      std::erase(state_->waiting, wanted);
    }
    wanted->callback({{}, wanted->host + " cannot be looked up: " + e.what()});
  }
}

void name_lookup::stop() {
  std::deque<std::shared_ptr<state::job>> dropped; // callbacks die outside the lock
  std::deque<std::shared_ptr<state::job>> abandoned;
  const std::lock_guard lock(state_->guard);
  state_->stopped = true;
  std::swap(dropped, state_->waiting);
  std::swap(abandoned, state_->running);
}

resolution name_lookup::ask_system(const std::string& host) {
  resolution found;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &list); code != 0) {
    found.failure = "the name " + host + " cannot be looked up: " + ::gai_strerror(code);
    return found;
  }
  for (const auto* one = list; one != nullptr; one = one->ai_next) {
    char text[NI_MAXHOST];
    const bool told =
        ::getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST)
        == 0;
    if (told
        && std::find(found.addresses.begin(), found.addresses.end(), text) == found.addresses.end())
      found.addresses.emplace_back(text);
  }
  ::freeaddrinfo(list);
  if (found.addresses.empty())
    found.failure = "the name " + host + " has no address";
  return found;
}

} // namespace troupe
