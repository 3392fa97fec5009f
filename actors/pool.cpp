#include "actors/pool.hpp"

#include "actors/backoff.hpp"
#include "actors/guard.hpp"
#include "messages/interfaces.hpp"

#include <algorithm>

namespace troupe {

namespace {

using self_ptr = pool_impl::stateful_pointer<pool_state>;
using namespace std::chrono_literals;

constexpr auto sweep_interval = 100ms;

/// The ready connection with the least to do, or none with room.
pool_state::slot* pick(pool_state& state) {
  pool_state::slot* best = nullptr;
  int least = state.options.in_flight_per_connection;
  for (auto& slot : state.slots) {
    if (!slot.ready)
      continue;
    const int load = slot.load->in_flight.load(std::memory_order_relaxed);
    if (load < least) {
      least = load;
      best = &slot;
    }
  }
  return best;
}

void want_room(pool_state& state, bool wanted) {
  for (auto& slot : state.slots)
    slot.load->wanted.store(wanted);
}

void dial(self_ptr self, std::size_t index) {
  auto& state = self->state;
  auto& slot = state.slots[index];
  slot.load = std::make_shared<connection_load>();
  slot.load->wanted.store(!state.queue.empty());
  slot.ready = false;
  slot.connection = self->spawn<caf::monitored>(
      connection, connection_config{state.options.connection, state.io, state.counters, slot.load,
                                    index, pool_events_actor{self}});
}

void serve_waiting(self_ptr self) {
  auto& state = self->state;
  while (!state.queue.empty()) {
    auto* slot = pick(state);
    if (slot == nullptr)
      break;
    ++slot->load->in_flight;
    auto& first = state.queue.front();
    first.promise.delegate(slot->connection, first.query);
    state.queue.pop_front();
    --state.counters->pool_waiting;
  }
  want_room(state, !state.queue.empty());
}

void sweep(self_ptr self) {
  auto& state = self->state;
  const auto now = self->clock().now();
  const bool up = std::any_of(state.slots.begin(), state.slots.end(),
                              [](const auto& slot) { return slot.ready; });
  while (!state.queue.empty() && state.queue.front().until <= now) {
    auto& late = state.queue.front();
    late.promise.deliver(
        up ? make_error(errc::overloaded, "all database connections are busy")
           : make_error(errc::unavailable, "no database connection: " + state.last_failure));
    state.queue.pop_front();
    --state.counters->pool_waiting;
    ++state.counters->pool_refused;
  }
  state.sweeping = !state.queue.empty();
  if (state.sweeping)
    self->delayed_send(self, sweep_interval, tick_atom_v);
}

caf::result<db::result> wait(self_ptr self, const query_ptr& query) {
  auto& state = self->state;
  if (state.queue.size() >= state.options.max_waiting) {
    ++state.counters->pool_refused;
    return make_error(errc::overloaded, "too many callers wait for a database connection");
  }
  auto promise = self->make_response_promise<db::result>();
  state.queue.push_back({query, promise, self->clock().now() + state.options.acquire_timeout});
  ++state.counters->pool_waiting;
  want_room(state, true);
  if (!state.sweeping) {
    state.sweeping = true;
    self->delayed_send(self, sweep_interval, tick_atom_v);
  }
  return promise;
}

void connection_ended(self_ptr self, const caf::down_msg& down) {
  auto& state = self->state;
  for (std::size_t i = 0; i < state.slots.size(); ++i) {
    auto& slot = state.slots[i];
    if (!slot.connection || slot.connection.address() != down.source)
      continue;
    const auto why = to_failure(down.reason).detail;
    if (slot.ready || why != state.last_failure)
      log::warn("pool", (slot.ready ? "lost a connection: " : "cannot connect: ") + why);
    state.last_failure = why;
    slot.ready = false;
    slot.connection = nullptr;
    const backoff pause{state.options.reconnect_base, state.options.reconnect_cap};
    self->delayed_send(self,
                       pause.after(++slot.failures, static_cast<std::uint32_t>(state.random())),
                       dial_atom_v, i);
    return;
  }
}

} // namespace

pool_impl::behavior_type pool(pool_impl::stateful_pointer<pool_state> self, pool_options options,
                              io_loop* io, engine_counters* counters) {
  auto& state = self->state;
  state.options = std::move(options);
  state.io = io;
  state.counters = counters;
  state.slots.resize(state.options.size);
  state.last_failure = "still connecting";
  self->set_down_handler([self](const caf::down_msg& down) { connection_ended(self, down); });
  self->set_exit_handler([self](const caf::exit_msg& exit) {
    for (auto& slot : self->state.slots)
      if (slot.connection)
        self->send_exit(slot.connection, exit.reason);
    for (auto& left : self->state.queue)
      left.promise.deliver(make_error(errc::stopping));
    self->quit(exit.reason);
  });
  for (std::size_t i = 0; i < state.slots.size(); ++i)
    dial(self, i);
  return {
      [self](const query_ptr& query) -> caf::result<db::result> {
        auto* slot = self->state.queue.empty() ? pick(self->state) : nullptr;
        if (slot == nullptr)
          return wait(self, query);
        ++slot->load->in_flight;
        return self->delegate(slot->connection, query);
      },
      [self](up_atom, std::size_t index) {
        auto& slot = self->state.slots[index];
        slot.ready = true;
        slot.failures = 0;
        serve_waiting(self);
      },
      [self](room_atom) { serve_waiting(self); },
      [self](dial_atom, std::size_t index) {
        if (!self->state.slots[index].connection)
          dial(self, index);
      },
      [self](tick_atom) { sweep(self); },
  };
}

} // namespace troupe
