// The interfaces between STORE, POOL and CONNECTION. They carry db's values, so they stay in this
// room. What travels is local to the process.
#pragma once

#include "db/connection.hpp"
#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/interfaces.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

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
struct burst;
struct burst_answers;
struct copy_start;
using burst_ptr = std::shared_ptr<const burst>;
using loan_ptr = std::shared_ptr<const loan>;
} // namespace troupe

// Local: they hold pointers to static statements and libpq results.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::query_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::db::result)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::loan_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::burst_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::burst_answers)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::copy_start)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::db::notification)

CAF_BEGIN_TYPE_ID_BLOCK(troupe_pg, caf::id_block::troupe::end)
  CAF_ADD_ATOM(troupe_pg, troupe, up_atom, "up")
  CAF_ADD_ATOM(troupe_pg, troupe, room_atom, "room")
  CAF_ADD_ATOM(troupe_pg, troupe, dial_atom, "dial")
  CAF_ADD_ATOM(troupe_pg, troupe, flush_atom, "flush")
  CAF_ADD_ATOM(troupe_pg, troupe, read_atom, "read")
  CAF_ADD_ATOM(troupe_pg, troupe, write_atom, "write")
  CAF_ADD_ATOM(troupe_pg, troupe, lend_atom, "lend")
  CAF_ADD_ATOM(troupe_pg, troupe, return_atom, "return")
  CAF_ADD_ATOM(troupe_pg, troupe, lost_atom, "lost")
  CAF_ADD_ATOM(troupe_pg, troupe, late_atom, "late")
  CAF_ADD_ATOM(troupe_pg, troupe, keep_atom, "keep")
  CAF_ADD_ATOM(troupe_pg, troupe, copy_atom, "copy")
CAF_END_TYPE_ID_BLOCK(troupe_pg)

namespace troupe {

/// Statements of one borrower that go as one group: one sync, and what follows a failed one is
/// skipped. Bound: the connection's statements in flight.
struct burst {
  std::vector<db::query> statements;
};
/// In the same order; a skipped one is errc::aborted.
struct burst_answers {
  std::vector<std::variant<failure, db::result>> each;
};
/// A COPY of one borrower. query::timeout() is how long the server may be silent while something is
/// asked of it.
struct copy_start {
  query_ptr what;
  bool in = false; ///< FROM STDIN
};

/// CONNECTION: one pipelined libpq connection; ends when it breaks.
using connection_actor = caf::typed_actor<
    // Carry this query out.
    caf::replies_to<query_ptr>::with<db::result>,
    // Carry these out as one group; only for who borrowed the connection. An error means that none
    // was sent.
    caf::replies_to<burst_ptr>::with<burst_answers>,
    // Begin a COPY, with nothing else in flight; only for who borrowed the connection. Answered at
    // its end. Until then:
    caf::replies_to<copy_start>::with<db::result>,
    // The next whole rows; empty after the last. Who does not ask holds the server up.
    caf::replies_to<copy_atom>::with<std::string>,
    // Send these bytes. Acknowledged when the socket has taken them.
    caf::reacts_to<copy_atom, std::string>,
    // No more: true ends a COPY in, false cancels it; of a COPY out the rest is dropped.
    caf::reacts_to<copy_atom, bool>>;

/// CONNECTION as POOL alone knows it.
using pooled_connection_actor = connection_actor::extend<
    // One borrower asks from now on; when it breaks it stays, to tell him why. Acknowledged.
    caf::reacts_to<lend_atom>,
    // The borrower is gone (true: he tainted it). Answered when nothing of his is left.
    caf::reacts_to<return_atom, bool>>;

/// POOL: spreads single statements over pipelined CONNECTIONs.
using pool_actor = caf::typed_actor<
    // Carry this query out on some connection; waits for one, but not for ever.
    caf::replies_to<query_ptr>::with<db::result>>;

/// A connection lent to one borrower alone: nobody else's statement is carried out on it meanwhile.
/// It goes back when the last copy is dropped, wherever that happens: POOL takes it again after
/// what was left open is rolled back. So a borrower that ends for any reason leaks nothing.
class loan {
public:
  loan(connection_actor connection, std::function<void(bool)> give_back,
       std::shared_ptr<const connection_load> load = nullptr)
      : connection_(std::move(connection)), give_back_(std::move(give_back)),
        load_(std::move(load)) {}
  loan(const loan&) = delete;
  loan& operator=(const loan&) = delete;
  ~loan() { give_back_(tainted_.load()); }

  /// Ask it directly; it answers in the order of asking. When it breaks, every request is answered
  /// with the reason until the loan ends. No use after the loan.
  const connection_actor& connection() const { return connection_; }
  /// Statements that are not the engine's own were carried out: session settings, temporary tables
  /// and advisory locks are cleared before the connection serves others.
  void taint() const { tainted_.store(true); }
  /// Nobody waits for a connection, and it has nothing to be cleared of: a borrower who is about to
  /// begin again may keep it.
  bool may_be_kept() const { return load_ && !load_->wanted.load() && !tainted_.load(); }

private:
  connection_actor connection_;
  std::function<void(bool tainted)> give_back_;
  std::shared_ptr<const connection_load> load_;
  mutable std::atomic<bool> tainted_{false};
};

/// POOL, for those who need a connection of their own: UNIT OF WORK, streams, COPY.
using lending_pool_actor = pool_actor::extend<
    // Lend a connection; waits in the same order as queries, within the same limits.
    caf::replies_to<lend_atom>::with<loan_ptr>>;

/// What CONNECTION tells who spawned it: POOL or NOTIFIER; the number is the one it was given. A
/// query that a broken one was asked comes back here.
using connection_owner_actor = pool_actor::extend<
    // This connection is ready.
    caf::reacts_to<up_atom, std::uint64_t>,
    // A wanted connection has room again.
    caf::reacts_to<room_atom>,
    // This connection broke, and why. It ends when its owner says so, or with its loan.
    caf::reacts_to<lost_atom, std::uint64_t, caf::error>>;

/// POOL as its connections and loans know it.
using pool_events_actor =
    lending_pool_actor::extend<caf::reacts_to<up_atom, std::uint64_t>, caf::reacts_to<room_atom>,
                               caf::reacts_to<lost_atom, std::uint64_t, caf::error>,
                               // The loan of this connection has ended (true: tainted).
                               caf::reacts_to<return_atom, std::uint64_t, bool>>;

/// Who hears what a CONNECTION is notified of.
using listener_actor = caf::typed_actor<caf::reacts_to<db::notification>>;

} // namespace troupe
