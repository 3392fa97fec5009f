// A loan of a connection: the borrower has it to himself, and when he gives it back, or is gone,
// what he left is undone behind his statements in flight, within clean_up_limit.
#include "actors/connection_parts.hpp"
#include "actors/guard.hpp"
#include "db/statements.hpp"

namespace troupe::connection_parts {

namespace {

/// Nothing of the borrower's is left.
void clean(connection_state& state) {
  state.lent = false;
  publish(state);
  state.undoing->done.deliver(caf::unit);
  state.undoing.reset();
}

} // namespace

bool undone(self_ptr self, const db::finished& finished) {
  auto& state = self->state;
  if (!state.undoing || finished.token < state.undoing->first)
    return true;
  if (std::holds_alternative<db::db_failure>(finished.outcome))
    return false;
  if (--state.undoing->left > 0)
    return true;
  if (state.link->in_transaction())
    return false;
  clean(state);
  return true;
}

void undo(self_ptr self, bool tainted) {
  auto& state = self->state;
  state.link->flush();
  const bool in_doubt = !state.open.empty() || state.link->in_transaction();
  if (!in_doubt && !tainted)
    return clean(state);
  const auto submit = [&](const db::statement& what) {
    const auto token = state.link->submit(db::query{what});
    if (state.undoing->left++ == 0)
      state.undoing->first = token;
  };
  if (in_doubt)
    submit(db::sql::session_rollback);
  if (tainted)
    for (const auto* what :
         {&db::sql::session_reset_user, &db::sql::session_reset_all, &db::sql::session_close_all,
          &db::sql::session_unlisten, &db::sql::session_unlock_all, &db::sql::session_discard_temp})
      submit(*what);
  if (tainted && state.link->wants_deallocation())
    submit(db::sql::session_deallocate);
  self->send(self, flush_atom_v);
}

caf::result<void> lend(self_ptr self) {
  auto& state = self->state;
  if (!state.link)
    return make_error(errc::unavailable, "the connection is not ready");
  state.lent = true;
  publish(state);
  state.asked_at = self->clock().now();
  return {};
}

caf::result<void> take_back(self_ptr self, bool tainted) {
  auto& state = self->state;
  if (!state.link)
    return make_error(errc::unavailable, "the connection was lost");
  auto done = self->make_response_promise<caf::response_promise>();
  state.undoing = connection_state::cleaning{done};
  self->delayed_send(self, state.config.clean_up_limit, late_atom_v, ++state.clean_ups);
  if (state.copy)
    abandon_copy(self, tainted);
  else
    undo(self, tainted);
  return done;
}

} // namespace troupe::connection_parts
