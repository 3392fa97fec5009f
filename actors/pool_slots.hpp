// POOL's connections: which one serves next, when one is made, checked, replaced or closed. Private
// to POOL. Bounds: max_size connections, two being made at a time, one while that fails.
#pragma once

#include "actors/pool.hpp"

namespace troupe::pooling {

using self_ptr = pool_impl::stateful_pointer<pool_state>;
using slot = pool_state::slot;
using stage = pool_state::stage;

/// Null when it is gone.
slot* find(pool_state& state, std::uint64_t id);

/// The shared connection with the least to do, or null when none has room. Those that were not used
/// for long are tried meanwhile, and serve when they answered.
slot* pick_shared(self_ptr self);

/// An idle connection that can be spared, or null; then one is kept from new work until it is idle.
slot* pick_for_loan(self_ptr self);

/// Makes connections until there are enough for who is there and who waits.
void fill(self_ptr self);
/// One more than that, while fewer than max_size.
void grow(self_ptr self);

void came_up(self_ptr self, std::uint64_t id);
void went_down(self_ptr self, const caf::down_msg& down);
/// One that was up broke.
void lost(self_ptr self, std::uint64_t id, const caf::error& why);
/// Ends a broken one of which everybody has heard.
void dismiss(self_ptr self, slot& broken);
/// Ends this connection now, for a reason of ours.
void close(self_ptr self, std::uint64_t id, const caf::error& why);
/// Ends those that were leaving and have nothing in flight any more.
void close_left(self_ptr self);

/// Once a second: ages, idleness, and what a lost message may have left undone.
void look_after(self_ptr self);

database_metrics& metrics_of(const pool_state& state);

} // namespace troupe::pooling
