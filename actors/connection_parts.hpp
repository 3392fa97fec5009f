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

/// Hands out what the server has answered.
void deliver(self_ptr self);
/// Arms the watch for what the connection waits for.
void arm(self_ptr self);
/// Tells the metrics: after each look at the socket, not with each statement, as it is read once in
/// a while.
void publish(connection_state& state);

caf::result<void> lend(self_ptr self);
/// Behind the borrower's statements in flight, which are answered as they come.
caf::result<void> take_back(self_ptr self, bool tainted);
/// Begins to clean up after a borrower whose statements are all submitted.
void undo(self_ptr self, bool tainted);
/// False when the answer of a clean-up says that the connection is of no use after it.
bool undone(self_ptr self, const db::finished& finished);

/// Why a connection is of no use, in words that help who has to cure it.
caf::error reason_of(const db::db_failure& why);

/// What is told of a failed statement. Of one that is the user's own he is told what the server
/// said; of the engine's own the log is (see to_error).
failure told_of(const db::db_failure& why, bool own);

enum class ending : std::uint8_t { lost, meant };

/// What a frozen server may take beyond its own statement timeout before we stop believing in it.
constexpr std::chrono::milliseconds silence_grace{3000};

/// Answers everybody. Lost, it stays as a husk until POOL knows, and a borrower; else it quits.
void end(self_ptr self, caf::error reason, ending how = ending::lost);
void end(self_ptr self, const db::db_failure& why);

void looked_up(self_ptr self, const found_name& found);
/// Lookups that take too long are given up.
void check_lookup(self_ptr self);
/// Begins to connect, and goes on once the socket is ready or the time is over.
void dial(self_ptr self);

/// Why nothing can be asked now; none when it can.
std::optional<caf::error> refusal(const connection_state& state);
caf::result<db::result> begin_copy(self_ptr self, const copy_start& asked);
caf::result<std::string> copy_rows(self_ptr self);
caf::result<void> copy_bytes(self_ptr self, std::string& bytes);
caf::result<void> end_copy(self_ptr self, bool keep);
/// Goes on with a COPY as far as the socket lets it.
void move_copy(self_ptr self);
/// True when the answer is the open COPY's.
bool copy_ended(self_ptr self, db::finished& finished);
void lose_copy(self_ptr self, const caf::error& why);
/// The loan ends in the middle of a COPY.
void abandon_copy(self_ptr self, bool tainted);
void cancel_sent(self_ptr self);
void check_copy(self_ptr self);

} // namespace troupe::connection_parts
