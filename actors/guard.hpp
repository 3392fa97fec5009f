// The wall between exceptions and actors: an exception that leaves a handler kills the actor in CAF
// 0.17.6, so every handler that can throw is wrapped. Also the one translation of errors.
#pragma once

#include "db/failure.hpp"
#include "messages/log.hpp"
#include "messages/type_ids.hpp"

#include <caf/result.hpp>
#include <caf/sec.hpp>
#include <caf/send.hpp>
#include <caf/typed_response_promise.hpp>

#include <exception>
#include <string>
#include <utility>

namespace troupe {

/// The failure inside any caf::error: ours as it was sent; a request that met a dead or silent
/// actor is errc::stopping or errc::unavailable.
failure to_failure(const caf::error& error);

/// What a caller is told of a database failure: the code, and the message where it is meant for
/// him.
caf::error to_error(const db::db_failure& failure);

namespace detail {
template<class R>
struct handler_result {
  using type = caf::result<R>;
};
template<class... Ts>
struct handler_result<caf::result<Ts...>> {
  using type = caf::result<Ts...>;
};

template<class F, class C, class R, class... As>
auto guard(F f, R (C::*)(As...) const) {
  using out = typename handler_result<R>::type;
  return [f = std::move(f)](As... as) -> out {
    try {
      if constexpr (std::is_void_v<R>) {
        f(std::forward<As>(as)...);
        return {};
      } else {
        return f(std::forward<As>(as)...);
      }
    } catch (const std::exception& e) {
      log::error("guard", e.what());
      return make_error(errc::internal, std::string{e.what()});
    }
  };
}
} // namespace detail

/// Wraps a handler: an exception becomes errc::internal, and the actor lives on.
template<class F>
auto guarded(F f) {
  return detail::guard(std::move(f), &F::operator());
}

/// Answers a promise with what `make` returns, or with errc::internal when it throws.
template<class T, class Make>
void deliver_guarded(caf::typed_response_promise<T>& promise, Make make) {
  try {
    promise.deliver(make());
  } catch (const std::exception& e) {
    log::error("guard", e.what());
    promise.deliver(make_error(errc::internal, std::string{e.what()}));
  }
}

} // namespace troupe
