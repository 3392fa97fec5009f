// One statement carried out for one promise: what STORE and CRAWL STORE are made of.
#pragma once

#include "actors/guard.hpp"
#include "actors/pg_protocol.hpp"

#include <memory>
#include <utility>

namespace troupe {

/// Sends `query` to `pool` and hands the rows to `then`; a failure goes straight to `promise`.
/// Infinite: POOL and CONNECTION own the deadlines and always answer.
template<class Self, class Promise, class Then>
void carry_out(Self self, const pool_actor& pool, db::query query, Promise promise, Then then) {
  self->request(pool, caf::infinite, std::make_shared<const db::query>(std::move(query)))
    .then(
      [promise, then](const db::result& rows) mutable {
        try {
          then(rows);
        } catch (const std::exception& e) {
          log::error("store", e.what());
          promise.deliver(make_error(errc::internal, std::string{e.what()}));
        }
      },
      [promise](caf::error& error) mutable { promise.deliver(std::move(error)); });
}

/// The common case: the answer is what `decode` makes of the rows.
template<class Reply, class Self, class Decode>
caf::result<Reply> answer(Self self, const pool_actor& pool, db::query query, Decode decode) {
  auto promise = self->template make_response_promise<Reply>();
  carry_out(self, pool, std::move(query), promise,
            [promise, decode](const db::result& rows) mutable { promise.deliver(decode(rows)); });
  return promise;
}

} // namespace troupe
