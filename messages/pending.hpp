// An answer that is on its way. It has to be used, in one of four ways: then(), co_await, get() or
// ignore(); dropping it does not compile where warnings are errors. A coroutine may return one.
// Answers come on an actor's thread: what then() is given, and what follows a co_await, runs there
// and must not block.
#pragma once

#include "messages/log.hpp"
#include "messages/thread_role.hpp"

#include <condition_variable>
#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>

namespace troupe {

namespace detail {

/// What a pending<void> carries.
struct nothing {};

template<class T>
class pending_state {
public:
  using outcome = std::variant<T, failure>;

  /// Once; later ones are ignored.
  void deliver(outcome&& what) {
    std::function<void(outcome)> callback;
    {
      const std::lock_guard lock(guard_);
      if (delivered_)
        return;
      delivered_ = true;
      if (!callback_) {
        value_.emplace(std::move(what));
        changed_.notify_all();
        return;
      }
      callback = std::move(callback_);
    }
    call(callback, std::move(what));
  }
  outcome wait() {
    std::unique_lock lock(guard_);
    changed_.wait(lock, [this] { return value_.has_value(); });
    return *std::move(value_);
  }
  /// The outcome when it is there; else `callback` gets it.
  std::optional<outcome> take_or(std::function<void(outcome)> callback) {
    const std::lock_guard lock(guard_);
    if (!value_)
      callback_ = std::move(callback);
    return std::exchange(value_, std::nullopt);
  }
  void then(const std::function<void(outcome)>& callback) {
    if (auto ready = take_or(callback))
      call(callback, *std::move(ready));
  }

private:
  /// It runs inside an actor, which an exception would end.
  static void call(const std::function<void(outcome)>& callback, outcome what) {
    try {
      callback(std::move(what));
    } catch (const std::exception& e) {
      log::error("pending", std::string{"a callback threw: "} + e.what());
    }
  }

  std::mutex guard_;
  std::condition_variable changed_;
  std::optional<outcome> value_;
  std::function<void(outcome)> callback_;
  bool delivered_ = false;
};

template<class T>
using carried = std::conditional_t<std::is_void_v<T>, nothing, T>;

template<class T>
T unwrap(std::variant<carried<T>, failure> what) {
  if (const auto* why = std::get_if<failure>(&what))
    throw engine_error(*why);
  if constexpr (!std::is_void_v<T>)
    return std::get<0>(std::move(what));
}

/// The failure that an exception stands for; call inside a catch.
inline failure current_failure() {
  try {
    throw;
  } catch (const engine_error& e) {
    return {e.code(), e.what()};
  } catch (const std::exception& e) {
    return {errc::internal, e.what()};
  }
}

} // namespace detail

template<class T>
class [[nodiscard("an answer has to be awaited; say .ignore() to do without it")]] pending {
  using state = detail::pending_state<detail::carried<T>>;

public:
  /// The value, or why there is none.
  using outcome = typename state::outcome;
  struct promise_type;

  explicit pending(std::shared_ptr<state> from) : state_(std::move(from)) {}
  pending(pending &&) noexcept = default;
  pending& operator=(pending&&) = delete;
  ~pending() {
    if (state_)
      log::error("pending", "an answer was neither awaited nor ignored");
  }

  /// Blocks until it is there; throws engine_error when it is a failure, and on a thread that must
  /// not wait.
  T get()&& {
    auto from = std::move(state_);
    require_blocking_thread("get()");
    return detail::unwrap<T>(from->wait());
  }
  /// Calls back once, with the outcome.
  void then(std::function<void(outcome)> callback)&& {
    std::exchange(state_, nullptr)->then(std::move(callback));
  }
  /// It is carried out nevertheless.
  void ignore()&& {
    state_ = nullptr;
  }

  auto operator co_await()&& {
    return awaiter{std::exchange(state_, nullptr), {}};
  }

private:
  struct awaiter {
    std::shared_ptr<state> from;
    std::optional<outcome> value;

    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> waiting) {
      const auto kept = from; // once it may be resumed, this awaiter may be gone
      auto ready = kept->take_or([this, waiting](outcome what) {
        value.emplace(std::move(what));
        waiting.resume();
      });
      if (!ready)
        return true;
      value = std::move(ready);
      return false;
    }
    T await_resume() { return detail::unwrap<T>(*std::move(value)); }
  };

  std::shared_ptr<state> state_;
};

namespace detail {
template<class T>
struct pending_promise {
  std::shared_ptr<pending_state<carried<T>>> made = std::make_shared<pending_state<carried<T>>>();

  pending<T> get_return_object() { return pending<T>{made}; }
  std::suspend_never initial_suspend() const { return {}; }
  std::suspend_never final_suspend() const noexcept { return {}; }
  void unhandled_exception() { made->deliver(current_failure()); }
};
} // namespace detail

template<class T>
struct pending<T>::promise_type : detail::pending_promise<T> {
  void return_value(T value) { this->made->deliver(std::move(value)); }
};
template<>
struct pending<void>::promise_type : detail::pending_promise<void> {
  void return_void() { made->deliver(detail::nothing{}); }
};

/// An answer and the way to give it.
template<class T>
std::pair<pending<T>, std::function<void(typename pending<T>::outcome)>> make_pending() {
  auto made = std::make_shared<detail::pending_state<detail::carried<T>>>();
  return {pending<T>{made},
          [made](typename pending<T>::outcome what) { made->deliver(std::move(what)); }};
}

} // namespace troupe
