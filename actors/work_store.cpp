#include "actors/work_store.hpp"

#include "actors/statement.hpp"
#include "db/work_statements.hpp"

namespace troupe {

namespace {

using self_ptr = work_store_actor::pointer;

template<class Ask, class Reply, class Decode>
caf::result<Reply> answer(self_ptr self, const pool_actor& pool, db::query statement,
                          Decode decode) {
  const kept_promise<Reply> promise(self);
  carry_out(self, pool, std::move(statement), promise,
            [=](const db::result& rows) { promise.deliver(decode(rows)); });
  return promise.result();
}

/// For a question that one statement answers.
template<class Ask, class Reply>
auto asking(self_ptr self, const pool_actor& pool, db::query (*statement)(const Ask&),
            Reply (*decode)(const db::result&)) {
  return guarded([=](const Ask& ask) -> caf::result<Reply> {
    return answer<Ask, Reply>(self, pool, statement(ask), decode);
  });
}

} // namespace

work_store_actor::behavior_type work_store(work_store_actor::pointer self, const pool_actor& pool) {
  return {
      asking(self, pool, db::join_worker_query, db::decode_joined_worker),
      asking(self, pool, db::leave_worker_query, db::decode_left_worker),
      asking(self, pool, db::beat_worker_query, db::decode_work_pulse),
      guarded([=](const claim_queue& ask) -> caf::result<claimed_work> {
        return answer<claim_queue, claimed_work>(
            self, pool, db::claim_queue_query(ask),
            [ask](const db::result& rows) { return db::decode_claimed_work(rows, ask); });
      }),
      asking(self, pool, db::finish_work_query, db::decode_finished_work),
      asking(self, pool, db::report_work_query, db::decode_reported_work),
      asking(self, pool, db::steer_worker_query, db::decode_steered_worker),
  };
}

} // namespace troupe
