// The interfaces between STORE, POOL and CONNECTION. They carry db's values, so they stay in this
// room. What travels is local to the process.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/interfaces.hpp"

#include <atomic>
#include <memory>

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

// Local: they hold pointers to static statements and libpq results.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::query_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::db::result)

CAF_BEGIN_TYPE_ID_BLOCK(troupe_pg, caf::id_block::troupe::end)
  CAF_ADD_ATOM(troupe_pg, troupe, up_atom, "up")
  CAF_ADD_ATOM(troupe_pg, troupe, room_atom, "room")
  CAF_ADD_ATOM(troupe_pg, troupe, dial_atom, "dial")
  CAF_ADD_ATOM(troupe_pg, troupe, flush_atom, "flush")
  CAF_ADD_ATOM(troupe_pg, troupe, read_atom, "read")
  CAF_ADD_ATOM(troupe_pg, troupe, write_atom, "write")
CAF_END_TYPE_ID_BLOCK(troupe_pg)

namespace troupe {

/// POOL: spreads single statements over pipelined CONNECTIONs.
using pool_actor = caf::typed_actor<
    // Carry this query out on some connection; waits for one, but not for ever.
    caf::replies_to<query_ptr>::with<db::result>>;

/// What CONNECTION tells POOL; the number is the slot POOL spawned it for.
using pool_events_actor = pool_actor::extend<
    // The connection of this slot is ready.
    caf::reacts_to<up_atom, std::size_t>,
    // A wanted connection has room again.
    caf::reacts_to<room_atom>>;

/// CONNECTION: one pipelined libpq connection; ends when it breaks.
using connection_actor = caf::typed_actor<
    // Carry this query out.
    caf::replies_to<query_ptr>::with<db::result>>;

} // namespace troupe
