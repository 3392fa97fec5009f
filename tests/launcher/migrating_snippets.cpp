// The code of docs/migrating.md, as it is there: before (with the bridge, which warns) and after.
// Compiled and not run; migrating_docs_test.py compares the two.
#include "launcher/blocking_session.hpp"
#include "launcher/engine.hpp"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

using namespace troupe;

namespace before {

void settle(engine& node, job_id old, std::int64_t order) {
  blocking_session work{node.sessions()};
  work.query(db::query{db::dynamic_statement{"settle", "update orders set settled = true "
                                                       "where id = $1"}}
                 .bind(order));
  work.add({.kind = "ship"});
  work.remove(old);
  work.commit();
}

} // namespace before

namespace after {

pending<void> settle(engine& node, job_id old, std::int64_t order) {
  auto work = node.open_session();
  work.query("update orders set settled = true where id = $1", order).ignore();
  work.add({.kind = "ship"});
  work.remove(old);
  static_cast<void>(co_await work.commit());
}

} // namespace after

namespace on_a_thread_of_ones_own {

void settle_and_wait(engine& node, job_id old, std::int64_t order) {
  after::settle(node, old, order).get();
}

} // namespace on_a_thread_of_ones_own

namespace without_coroutines {

void settle(engine& node, std::int64_t order, std::function<void(bool)> done) {
  auto work = node.open_session();
  work.query("update orders set settled = true where id = $1", order).ignore();
  work.commit().then([done](const pending<db::committed_work>::outcome& how) {
    done(std::holds_alternative<db::committed_work>(how));
  });
}

} // namespace without_coroutines

namespace removing {

pending<std::size_t> forget(engine& node, job_id old) {
  auto work = node.open_session();
  work.remove(old);
  const auto flushed = co_await work.flush();
  static_cast<void>(co_await work.commit());
  co_return flushed.removed;
}

} // namespace removing

namespace retrying {

pending<void> transfer(engine& node, std::int64_t from, std::int64_t to) {
  return node.run_transaction([from, to](session& work) -> pending<void> {
    work.query("update account set amount = amount - 10 where id = $1", from).ignore();
    co_await work.query("update account set amount = amount + 10 where id = $1", to);
  });
}

} // namespace retrying
