#include "actors/connection.hpp"

#include "actors/guard.hpp"
#include "messages/interfaces.hpp"

#include <caf/actor_cast.hpp>

namespace troupe {

namespace {

using self_ptr = connection_impl::stateful_pointer<connection_state>;
using namespace std::chrono_literals;

constexpr auto silence_check = 1s;
/// What a frozen server may take beyond its own statement timeout before we stop believing in it.
constexpr auto silence_grace = 3s;

/// A callback for the loop that becomes a message to this actor, if it still lives.
template<class Atom>
std::function<void()> notify(self_ptr self, Atom atom) {
  return [weak = caf::actor_cast<caf::weak_actor_ptr>(self->ctrl()), atom] {
    if (auto strong = caf::actor_cast<connection_impl>(weak))
      caf::anon_send(strong, atom);
  };
}

/// By value: most callers pass what the link or the dialing holds, and both end here.
void end(self_ptr self, db::db_failure why) { // NOLINT(performance-unnecessary-value-param)
  auto& state = self->state;
  state.watch.reset();
  if (state.link) {
    --state.config.counters->connections_open;
    ++state.config.counters->connections_lost;
    for (auto& lost : state.link->abandon(why.message)) {
      auto open = state.open.find(lost.token);
      if (open == state.open.end())
        continue;
      const auto* failure = std::get_if<db::db_failure>(&lost.outcome);
      if (failure != nullptr)
        open->second.promise.deliver(to_error(*failure));
      else
        open->second.promise.deliver(std::get<db::result>(lost.outcome));
      state.open.erase(open);
    }
  }
  for (auto& [token, left] : state.open)
    left.promise.deliver(to_error(why));
  state.open.clear();
  state.link.reset();
  state.dialing.reset();
  self->quit(make_error(errc::unavailable, why.message));
}

/// Anew each time: while it connects libpq may close the socket and open another one that gets the
/// same number, and the watch holds a duplicate of the old one.
void watch(self_ptr self, int fd) {
  self->state.watch.reset();
  self->state.watch = self->state.config.io->watch(fd);
}

void deliver(self_ptr self) {
  auto& state = self->state;
  auto& counters = *state.config.counters;
  while (auto finished = state.link->next()) {
    auto open = state.open.find(finished->token);
    if (open == state.open.end())
      continue;
    ++counters.statements;
    if (const auto* failure = std::get_if<db::db_failure>(&finished->outcome)) {
      ++counters.statement_errors;
      if (failure->sqlstate.rfind("TR", 0) != 0)
        log::warn("connection",
                  failure->statement + ": " + failure->sqlstate + " " + failure->message);
      open->second.promise.deliver(to_error(*failure));
    } else {
      open->second.promise.deliver(std::move(std::get<db::result>(finished->outcome)));
    }
    state.open.erase(open);
    state.heard_at = self->clock().now();
    --state.config.load->in_flight;
  }
  if (state.config.load->wanted.load())
    self->send(state.config.pool, room_atom_v);
  if (state.link->broken())
    end(self, state.link->why_broken());
}

void arm_write(self_ptr self) {
  auto& state = self->state;
  if (state.link && state.link->wants_write())
    state.watch->when_writable(notify(self, write_atom_v));
}

void become_ready(self_ptr self) {
  auto& state = self->state;
  state.link.emplace(std::move(*state.dialing).produce());
  state.dialing.reset();
  watch(self, state.link->socket());
  if (!state.watch)
    return end(self, db::lost_before_sending({}, "the socket cannot be watched"));
  ++state.config.counters->connections_open;
  state.watch->when_readable(notify(self, read_atom_v));
  self->send(state.config.pool, up_atom_v, state.config.slot);
}

void dial(self_ptr self) {
  auto& state = self->state;
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

void check_silence(self_ptr self) {
  auto& state = self->state;
  if (state.dialing && std::chrono::steady_clock::now() >= state.dialing->deadline())
    return dial(self); // past the deadline a step answers `failed`
  if (!state.link || state.open.empty())
    return;
  const auto now = self->clock().now();
  auto oldest = now;
  for (const auto& [token, query] : state.open)
    oldest = std::min(oldest, query.asked_at);
  // Queries behind others wait for them: as long as answers come, nobody is silent.
  if (now - std::max(oldest, state.heard_at)
      > state.config.options.statement_timeout + silence_grace)
    end(self, db::lost_after_sending({}, "the server has been silent for too long"));
}

} // namespace

connection_impl::behavior_type connection(connection_impl::stateful_pointer<connection_state> self,
                                          connection_config config) {
  self->state.config = std::move(config);
  self->state.dialing.emplace(db::connecting::start(self->state.config.options));
  self->set_exit_handler([self](const caf::exit_msg&) {
    end(self, db::lost_after_sending({}, "the engine is stopping"));
  });
  self->send(self, dial_atom_v);
  self->delayed_send(self, silence_check, tick_atom_v);
  return {
      [self](const query_ptr& query) -> caf::result<db::result> {
        auto& state = self->state;
        if (!state.link) {
          --state.config.load->in_flight;
          return make_error(errc::unavailable, "the connection is not ready");
        }
        auto promise = self->make_response_promise<db::result>();
        const auto token = state.link->submit(*query);
        state.open.emplace(token, connection_state::open_query{promise, self->clock().now()});
        // Queries that are in the mailbox already share one flush.
        if (!state.flush_sent) {
          state.flush_sent = true;
          self->send(self, flush_atom_v);
        }
        return promise;
      },
      [self](dial_atom) { dial(self); },
      [self](read_atom) {
        auto& state = self->state;
        if (!state.link)
          return;
        state.link->on_readable();
        deliver(self);
        if (state.link) {
          state.watch->when_readable(notify(self, read_atom_v));
          arm_write(self);
        }
      },
      [self](write_atom) {
        if (!self->state.link)
          return;
        self->state.link->on_writable();
        arm_write(self);
      },
      [self](flush_atom) {
        auto& state = self->state;
        state.flush_sent = false;
        if (!state.link)
          return;
        state.link->flush();
        arm_write(self);
        deliver(self); // a query refused locally is answered without the server
      },
      [self](tick_atom) {
        check_silence(self);
        if (self->state.link || self->state.dialing)
          self->delayed_send(self, silence_check, tick_atom_v);
      },
  };
}

} // namespace troupe
