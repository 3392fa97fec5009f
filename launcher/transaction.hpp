// A whole transaction that may be run again: on errc::retry it is rolled back and its body called
// anew, at most max_tries times, with growing, jittered pauses. That is 40001 (serialization),
// 40P01 (deadlock), 55P03 (a lock not had in time), and of a prepared statement 26000 (it is gone)
// and 0A000 (a migration changed what it gives). Never after something was committed, and never
// when the outcome is unknown. A body that answers a pending<R> makes this one; any other runs
// here, blocks, and may call get().
#pragma once

#include "launcher/session.hpp"

#include <exception>
#include <random>
#include <type_traits>

namespace troupe {

namespace detail {

constexpr int max_tries = 5;

template<class T>
struct is_pending : std::false_type {};
template<class T>
struct is_pending<pending<T>> : std::true_type {
  using value_type = T;
};

inline std::chrono::milliseconds retry_pause(int tries) {
  thread_local std::minstd_rand random{std::random_device{}()};
  const int most = 5 << tries; // 10 ms, 20, 40, 80
  return std::chrono::milliseconds{most / 2 + static_cast<int>(random() % (most / 2 + 1U))};
}

inline bool worth_another_try(const session& work, errc code, int tries) {
  const bool undone =
      code == errc::retry || (code == errc::aborted && work.first_failure() == errc::retry);
  return undone && !work.committed() && tries < max_tries;
}

template<class R, class Body>
pending<R> run_later(session_source& from, session_options options, Body body) {
  for (int tries = 1;; ++tries) {
    std::optional<carried<R>> value;
    std::exception_ptr why;
    bool again = false;
    {
      auto work = from.open(options);
      try {
        if (tries > 1)
          static_cast<void>(
              co_await work.flush()); // off the loop's thread, on which the pause ended
        if constexpr (std::is_void_v<R>) {
          co_await body(work);
          value.emplace();
        } else {
          value.emplace(co_await body(work));
        }
        static_cast<void>(co_await work.commit());
      } catch (const engine_error& e) {
        why = std::current_exception();
        again = worth_another_try(work, e.code(), tries);
      }
    }
    if (why && !again)
      std::rethrow_exception(why);
    if (!why) {
      if constexpr (std::is_void_v<R>)
        co_return;
      else
        co_return *std::move(value);
    }
    from.count_retry();
    co_await from.pause(retry_pause(tries));
  }
}

template<class R, class Body>
R run_here(session_source& from, const session_options& options, Body& body) {
  require_blocking_thread("a transaction whose body is no coroutine");
  for (int tries = 1;; ++tries) {
    {
      auto work = from.open(options);
      try {
        if constexpr (std::is_void_v<R>) {
          body(work);
          static_cast<void>(work.commit().get());
          return;
        } else {
          R value = body(work);
          static_cast<void>(work.commit().get());
          return value;
        }
      } catch (const engine_error& e) {
        if (!worth_another_try(work, e.code(), tries))
          throw;
      }
    }
    from.count_retry();
    from.pause(retry_pause(tries)).get();
  }
}

} // namespace detail

template<class Body>
auto run_transaction(session_source& from, const session_options& options, Body body) {
  using answered = std::invoke_result_t<Body&, session&>;
  if constexpr (detail::is_pending<answered>::value)
    return detail::run_later<typename detail::is_pending<answered>::value_type>(from, options,
                                                                                std::move(body));
  else
    return detail::run_here<answered>(from, options, body);
}

} // namespace troupe
