// How CONNECTION connects: names are looked up by the loop, then each address is dialed step by
// step as its socket becomes ready. Bounds: connect_timeout for the lookups, and again for dialing.
#include "actors/connection_parts.hpp"
#include "actors/guard.hpp"
#include "db/conninfo.hpp"
#include "messages/interfaces.hpp"

namespace troupe::connection_parts {

namespace {

/// Anew each time: while it connects libpq may close the socket and open another one that gets the
/// same number, and the watch holds a duplicate of the old one.
void watch(self_ptr self, int fd) {
  auto& state = self->state;
  state.watch.reset();
  state.watch = state.config.sockets->watch(fd);
  state.reading = state.writing = false;
}

void become_ready(self_ptr self) {
  auto& state = self->state;
  state.link.emplace(std::move(*state.dialing).produce());
  state.dialing.reset();
  if (state.config.own != nullptr)
    state.counted.emplace(state.config, state.link->backend_pid(), self->clock().now());
  watch(self, state.link->socket());
  if (!state.watch)
    return end(self, db::lost_before_sending({}, "the socket cannot be watched"));
  arm(self);
  self->send(state.config.pool, up_atom_v, state.config.id);
}

void begin_dialing(self_ptr self) {
  auto& state = self->state;
  state.lookup.reset();
  state.dialing.emplace(db::connecting::start(state.config.options));
  dial(self);
}

/// With what has been found. Names without an address are left out, as libpq would look them up
/// again and block.
void end_lookup(self_ptr self, std::string why) {
  auto& lookup = *self->state.lookup;
  auto& addresses = self->state.config.options.addresses;
  for (const auto& name : lookup.missing)
    addresses[name].clear();
  if (lookup.useful)
    return begin_dialing(self);
  self->state.lookup.reset();
  end(self, make_error(errc::unavailable, std::move(why)));
}

/// Looks up the names in the URL.
void look_up(self_ptr self) {
  auto& state = self->state;
  const auto parsed = db::conninfo::parse(state.config.options.url);
  const auto* url = std::get_if<db::conninfo>(&parsed);
  const auto names = url != nullptr ? url->names_to_look_up() : std::vector<std::string>{};
  if (names.empty())
    return begin_dialing(self); // which tells what is wrong with the URL
  state.lookup.emplace();
  state.lookup->missing.insert(names.begin(), names.end());
  state.lookup->open = names.size();
  state.lookup->useful = url->hosts().size() > names.size();
  state.lookup->since = self->clock().now();
  for (const auto& name : names)
    state.config.io->resolve(
        name, [weak = caf::actor_cast<caf::weak_actor_ptr>(self->ctrl()), name](resolution found) {
          if (auto strong = caf::actor_cast<connection_impl>(weak))
            caf::anon_send(strong, std::make_shared<const named_resolution>(
                                       named_resolution{name, std::move(found)}));
        });
}

/// The failures a person has to cure, by name.
const char* cause_of(std::string_view sqlstate) {
  if (sqlstate.starts_with("28"))
    return "the server refuses the user or the password";
  if (sqlstate == "53300")
    return "the server has no connection left to give";
  if (sqlstate == "3D000")
    return "there is no such database";
  return nullptr;
}

} // namespace

caf::error reason_of(const db::db_failure& why) {
  std::string text = why.message;
  if (const char* cause = cause_of(why.sqlstate))
    text = cause + (": " + text);
  if (!why.sqlstate.empty())
    text += " (" + why.sqlstate + ")";
  return make_error(errc::unavailable, text);
}

void looked_up(self_ptr self, const found_name& found) {
  auto& lookup = self->state.lookup;
  if (!lookup)
    return; // too late
  self->state.config.options.addresses[found->name] = found->what.addresses;
  if (found->what.addresses.empty()) {
    lookup->failure = found->what.failure;
  } else {
    lookup->missing.erase(found->name);
    lookup->useful = true;
  }
  if (--lookup->open == 0)
    end_lookup(self, lookup->failure);
}

void check_lookup(self_ptr self) {
  auto& state = self->state;
  if (state.lookup
      && self->clock().now() - state.lookup->since >= state.config.options.connect_timeout)
    end_lookup(self, "looking up " + *state.lookup->missing.begin() + " takes too long");
}

void dial(self_ptr self) {
  auto& state = self->state;
  if (!std::exchange(state.begun, true))
    return look_up(self);
  if (!state.dialing)
    return;
  const auto want = state.dialing->step();
  if (want == db::connecting::want::failed)
    return end(self, state.dialing->failure());
  if (want == db::connecting::want::done)
    return become_ready(self);
  watch(self, state.dialing->socket());
  if (!state.watch)
    return end(self, db::lost_before_sending({}, "the socket cannot be watched"));
  if (want == db::connecting::want::read)
    state.watch->when_readable(notify(self, dial_atom_v));
  else
    state.watch->when_writable(notify(self, dial_atom_v));
}

} // namespace troupe::connection_parts
