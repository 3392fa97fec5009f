// What the sources of CONNECTION share. Private to CONNECTION.
#pragma once

#include "actors/connection.hpp"

#include <caf/actor_cast.hpp>
#include <caf/send.hpp>

namespace troupe::connection_parts {

using self_ptr = connection_impl::stateful_pointer<connection_state>;

/// A callback for the loop that becomes a message to this actor, if it still lives.
template<class Atom>
std::function<void()> notify(self_ptr self, Atom atom) {
  return [weak = caf::actor_cast<caf::weak_actor_ptr>(self->ctrl()), atom] {
    if (auto strong = caf::actor_cast<connection_impl>(weak))
      caf::anon_send(strong, atom);
  };
}

enum class ending : std::uint8_t { lost, meant };

/// Answers everybody. Lost, it stays as a husk until POOL knows, and a borrower; else it quits.
void end(self_ptr self, caf::error reason, ending how = ending::lost);
void end(self_ptr self, const db::db_failure& why);

void looked_up(self_ptr self, const found_name& found);
/// Lookups that take too long are given up.
void check_lookup(self_ptr self);
/// Begins to connect, and goes on once the socket is ready or the time is over.
void dial(self_ptr self);

} // namespace troupe::connection_parts
