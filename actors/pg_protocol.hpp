// The interfaces between STORE, POOL and CONNECTION. They carry db's values, so they stay in this
// room. What travels is local to the process.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/interfaces.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

namespace troupe {

/// Immutable, so that a refused query can wait or be repeated without a copy.
using query_ptr = std::shared_ptr<const db::query>;

/// What POOL and one CONNECTION both look at: no message has to be sent for it.
struct connection_load {
  /// Queries handed to the connection and not yet answered. POOL adds, CONNECTION subtracts.
  std::atomic<int> in_flight{0};
  /// POOL has callers waiting: tell it when this connection has room again.
  std::atomic<bool> wanted{false};
};

} // namespace troupe

namespace troupe {
class loan;
using loan_ptr = std::shared_ptr<const loan>;
} // namespace troupe

// Local: they hold pointers to static statements and libpq results.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::query_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::db::result)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::loan_ptr)

CAF_BEGIN_TYPE_ID_BLOCK(troupe_pg, caf::id_block::troupe::end)
  CAF_ADD_ATOM(troupe_pg, troupe, up_atom, "up")
  CAF_ADD_ATOM(troupe_pg, troupe, room_atom, "room")
  CAF_ADD_ATOM(troupe_pg, troupe, dial_atom, "dial")
  CAF_ADD_ATOM(troupe_pg, troupe, flush_atom, "flush")
  CAF_ADD_ATOM(troupe_pg, troupe, read_atom, "read")
  CAF_ADD_ATOM(troupe_pg, troupe, write_atom, "write")
  CAF_ADD_ATOM(troupe_pg, troupe, lend_atom, "lend")
  CAF_ADD_ATOM(troupe_pg, troupe, return_atom, "return")
CAF_END_TYPE_ID_BLOCK(troupe_pg)

namespace troupe {

/// CONNECTION: one pipelined libpq connection; ends when it breaks.
using connection_actor = caf::typed_actor<
    // Carry this query out.
    caf::replies_to<query_ptr>::with<db::result>>;

/// POOL: spreads single statements over pipelined CONNECTIONs.
using pool_actor = caf::typed_actor<
    // Carry this query out on some connection; waits for one, but not for ever.
    caf::replies_to<query_ptr>::with<db::result>>;

/// A connection lent to one borrower alone: nobody else's statement is carried out on it meanwhile.
/// It goes back when the last copy is dropped, wherever that happens: POOL takes it again after
/// what was left open is rolled back. So a borrower that ends for any reason leaks nothing.
class loan {
public:
  loan(connection_actor connection, std::function<void(bool)> give_back)
      : connection_(std::move(connection)), give_back_(std::move(give_back)) {}
  loan(const loan&) = delete;
  loan& operator=(const loan&) = delete;
  ~loan() { give_back_(tainted_.load()); }

  /// Ask it directly; it answers in the order of asking.
  const connection_actor& connection() const { return connection_; }
  /// Statements that are not the engine's own were carried out: session settings, temporary tables
  /// and advisory locks are cleared before the connection serves others.
  void taint() const { tainted_.store(true); }

private:
  connection_actor connection_;
  std::function<void(bool tainted)> give_back_;
  mutable std::atomic<bool> tainted_{false};
};

/// POOL, for those who need a connection of their own: UNIT OF WORK, streams, COPY.
using lending_pool_actor = pool_actor::extend<
    // Lend a connection; waits in the same order as queries, within the same limits.
    caf::replies_to<lend_atom>::with<loan_ptr>>;

/// What CONNECTION tells POOL; the number is the slot POOL spawned it for.
using pool_events_actor = pool_actor::extend<
    // The connection of this slot is ready.
    caf::reacts_to<up_atom, std::size_t>,
    // A wanted connection has room again.
    caf::reacts_to<room_atom>>;

} // namespace troupe
