// One statement carried out for one promise: what STORE and CRAWL STORE are made of.
#pragma once

#include "actors/guard.hpp"
#include "actors/pg_protocol.hpp"

#include <memory>
#include <type_traits>
#include <utility>

namespace troupe {

/// A promise that is always kept: when the last copy goes undelivered, because the actor that held
/// it has ended, the caller hears errc::stopping. CAF alone would let him wait for ever.
template<class Reply>
class kept_promise {
  using promise = std::conditional_t<std::is_void_v<Reply>, caf::response_promise,
                                     caf::typed_response_promise<Reply>>;

public:
  template<class Self>
  explicit kept_promise(Self self)
      : state_(std::make_shared<state>(self->template make_response_promise<promise>())) {}

  template<class T>
  void deliver(T&& what) const {
    if (!std::exchange(state_->delivered, true))
      state_->answer.deliver(std::forward<T>(what));
  }
  /// What the handler returns.
  caf::result<Reply> result() const { return state_->answer; }

private:
  struct state {
    explicit state(promise to) : answer(std::move(to)) {}
    state(const state&) = delete;
    state& operator=(const state&) = delete;
    ~state() {
      if (!delivered)
        answer.deliver(make_error(errc::stopping, "the engine is stopping"));
    }
    promise answer;
    bool delivered = false;
  };
  std::shared_ptr<state> state_;
};

/// How often a query is handed to POOL that comes back unread, because the connection POOL chose
/// for it was ending at that moment. Nothing was sent, so handing it over again is safe.
constexpr int max_sends = 5;

template<class Self, class Promise, class Then>
void send_query(Self self, const pool_actor& pool, const query_ptr& query, Promise promise,
                Then then, int sends_left) {
  self->request(pool, caf::infinite, query)
      .then(
          [promise, then](const db::result& rows) mutable {
            try {
              then(rows);
            } catch (const std::exception& e) {
              log::error("store", e.what());
              promise.deliver(make_error(errc::internal, std::string{e.what()}));
            }
          },
          [=](caf::error& error) mutable {
            if (error == caf::sec::request_receiver_down && sends_left > 1)
              send_query(self, pool, query, promise, then, sends_left - 1);
            else
              promise.deliver(std::move(error));
          });
}

/// Sends `query` to `pool` and hands the rows to `then`; a failure goes straight to `promise`.
/// Infinite: POOL and CONNECTION own the deadlines and always answer.
template<class Self, class Promise, class Then>
void carry_out(Self self, const pool_actor& pool, db::query query, Promise promise, Then then) {
  send_query(self, pool, std::make_shared<const db::query>(std::move(query)), promise, then,
             max_sends);
}

/// The common case: the answer is what `decode` makes of the rows.
template<class Reply, class Self, class Decode>
caf::result<Reply> answer(Self self, const pool_actor& pool, db::query query, Decode decode) {
  const kept_promise<Reply> promise(self);
  carry_out(self, pool, std::move(query), promise,
            [promise, decode](const db::result& rows) mutable { promise.deliver(decode(rows)); });
  return promise.result();
}

} // namespace troupe
