#include "actors/pool_slots.hpp"

#include "actors/guard.hpp"
#include "db/statements.hpp"
#include "messages/backoff.hpp"
#include "messages/interfaces.hpp"

#include <algorithm>

namespace troupe::pooling {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t max_dials = 2;
/// A dial that takes longer does not keep others from being tried: its packets may be lost.
constexpr auto slow_dial = 2s;
/// Lifetimes differ by so much, so that connections made together do not end together.
constexpr int age_jitter_percent = 10;

std::uint32_t random(pool_state& state) {
  return static_cast<std::uint32_t>(state.random());
}

bool is_slow_dial(const slot& one, pool_state::time_point now) {
  return one.at == stage::dialing && now - one.used_at > slow_dial;
}

/// Those that serve, will soon, or will again.
std::size_t count_live(const pool_state& state, pool_state::time_point now) {
  return static_cast<std::size_t>(
      std::count_if(state.slots.begin(), state.slots.end(), [now](const slot& one) {
        return one.at != stage::lost && !one.aged && !one.leaving && !is_slow_dial(one, now);
      }));
}

std::size_t count_lent(const pool_state& state) {
  return static_cast<std::size_t>(
      std::count_if(state.slots.begin(), state.slots.end(), [](const slot& one) {
        return one.at == stage::lent || one.at == stage::returning;
      }));
}

std::size_t count_shared(const pool_state& state) {
  return static_cast<std::size_t>(std::count_if(state.slots.begin(), state.slots.end(),
                                                [](const slot& one) { return one.shared(); }));
}

/// How many there should be without pressure from queries.
std::size_t floor_of(const pool_state& state) {
  const auto loans = count_lent(state) + state.loans.size();
  const auto wanted = loans > 0 ? loans + state.options.shared() : 0;
  return std::clamp(wanted, state.options.min_size, state.options.max_size);
}

std::size_t free_number(const pool_state& state) {
  std::size_t number = 0;
  while (std::any_of(state.slots.begin(), state.slots.end(),
                     [number](const slot& one) { return one.number == number; }))
    ++number;
  return number;
}

void dial(self_ptr self, pool_state::time_point now) {
  auto& state = self->state;
  slot fresh;
  fresh.id = ++state.last_id;
  fresh.number = free_number(state);
  fresh.load = std::make_shared<connection_load>();
  fresh.used_at = now;
  fresh.connection = state.make(
      self, connection_config{state.options.connection, state.io,
                              state.options.sockets != nullptr ? state.options.sockets : state.io,
                              state.counters, &metrics_of(state), fresh.load, fresh.id,
                              pool_events_actor{self}, state.options.max_loan,
                              state.options.clean_up_limit, &metrics_of(state).slot(fresh.number)});
  state.slots.push_back(std::move(fresh));
}

bool may_dial(const pool_state& state, pool_state::time_point now) {
  if (now < state.dial_after)
    return false;
  const auto dialing =
      std::count_if(state.slots.begin(), state.slots.end(), [now](const slot& one) {
        return one.at == stage::dialing && !is_slow_dial(one, now);
      });
  return static_cast<std::size_t>(dialing) < (state.failures > 0 ? 1 : max_dials);
}

void fill_up_to(self_ptr self, std::size_t wanted) {
  auto& state = self->state;
  const auto now = self->clock().now();
  while (count_live(state, now) < wanted && may_dial(state, now))
    dial(self, now);
}

void pause_dialing(self_ptr self, std::chrono::milliseconds pause) {
  self->state.dial_after = self->clock().now() + pause;
  self->delayed_send(self, pause, dial_atom_v);
}

/// All may be lost in the same instant, and those of other nodes with them.
void replace_soon(self_ptr self) {
  auto& state = self->state;
  ++state.broken;
  if (state.dial_after > self->clock().now())
    return;
  const auto most = static_cast<std::uint32_t>(state.options.reconnect_base.count());
  pause_dialing(self, std::chrono::milliseconds{random(state) % (most + 1)});
}

/// Gives it nothing more.
void retire(slot& one) {
  one.leaving = true;
  one.load->wanted.store(true);
}

void check(self_ptr self, slot& one) {
  auto& state = self->state;
  one.at = stage::checking;
  ++one.load->in_flight;
  self->request(one.connection, state.options.check_timeout,
                std::make_shared<const db::query>(db::sql::session_ping))
      .then(
          [self, id = one.id](const db::result&) {
            auto* checked = find(self->state, id);
            if (checked == nullptr)
              return;
            checked->at = stage::ready;
            checked->used_at = self->clock().now();
            self->send(self, room_atom_v);
          },
          [self, id = one.id](const caf::error&) {
            close(self, id,
                  make_error(errc::unavailable, "no answer after it was idle for a while"));
          });
}

bool is_stale(const pool_state& state, const slot& one, pool_state::time_point now) {
  return one.idle() && now - one.used_at > state.options.check_after;
}

} // namespace

database_metrics& metrics_of(const pool_state& state) {
  static database_metrics unread;
  return state.options.metrics != nullptr ? *state.options.metrics : unread;
}

slot* find(pool_state& state, std::uint64_t id) {
  const auto found = std::find_if(state.slots.begin(), state.slots.end(),
                                  [id](const slot& one) { return one.id == id; });
  return found == state.slots.end() ? nullptr : &*found;
}

slot* pick_shared(self_ptr self) {
  auto& state = self->state;
  const auto now = self->clock().now();
  slot* best = nullptr;
  int least = state.options.in_flight_per_connection;
  bool stale = false;
  for (auto& one : state.slots) {
    if (!one.shared())
      continue;
    const int load = one.load->in_flight.load();
    if (load == 0 && is_stale(state, one, now)) {
      stale = true;
    } else if (load < least) {
      least = load;
      best = &one;
    }
  }
  if (stale && least > 0)
    for (auto& one : state.slots)
      if (one.shared() && is_stale(state, one, now))
        check(self, one);
  if (best != nullptr)
    best->used_at = now;
  return best;
}

slot* pick_for_loan(self_ptr self) {
  auto& state = self->state;
  if (count_lent(state) + state.options.shared() >= state.options.max_size)
    return nullptr;
  const auto now = self->clock().now();
  const auto shared = count_shared(state);
  slot* best = nullptr;
  slot* least_busy = nullptr;
  bool any_reserved = false;
  for (auto& one : state.slots) {
    if (shared == 0)
      one.reserved = false; // the others broke: statements come first
    any_reserved = any_reserved || one.reserved;
    if (one.at != stage::ready || one.leaving || one.aged || (!one.reserved && shared < 2))
      continue;
    if (is_stale(state, one, now)) {
      check(self, one);
    } else if (one.idle()) {
      if (best == nullptr || one.used_at > best->used_at)
        best = &one;
    } else if (least_busy == nullptr
               || one.load->in_flight.load() < least_busy->load->in_flight.load()) {
      least_busy = &one;
    }
  }
  // A new connection would serve, too; this one is surer while connecting is slow or fails.
  if (best == nullptr && least_busy != nullptr && !any_reserved) {
    least_busy->reserved = true;
    least_busy->load->wanted.store(true);
    if (least_busy->idle())
      best = least_busy;
  }
  return best;
}

void fill(self_ptr self) {
  fill_up_to(self, floor_of(self->state));
}

void grow(self_ptr self) {
  auto& state = self->state;
  const auto now = self->clock().now();
  const bool dialing = std::any_of(state.slots.begin(), state.slots.end(), [now](const slot& one) {
    return one.at == stage::dialing && !is_slow_dial(one, now);
  });
  if (!dialing)
    fill_up_to(self, std::min(count_live(state, now) + 1, state.options.max_size));
}

void came_up(self_ptr self, std::uint64_t id) {
  auto& state = self->state;
  auto* up = find(state, id);
  if (up == nullptr || up->at != stage::dialing)
    return;
  const auto now = self->clock().now();
  up->used_at = now;
  up->at = stage::ready;
  const auto spread = state.options.max_lifetime.count() * age_jitter_percent / 100;
  up->retire_at =
      now + state.options.max_lifetime
      + std::chrono::milliseconds{
          spread > 0 ? static_cast<std::int64_t>(random(state)) % (2 * spread + 1) - spread : 0};
  state.failures = 0;
  state.dial_after = now;
  if (state.broken > 0) {
    --state.broken;
    ++metrics_of(state).reconnects;
  }
  const bool enough = count_live(state, now) >= floor_of(state);
  for (auto& old : state.slots)
    if (old.aged && !old.leaving && enough)
      retire(old);
  if (count_live(state, now) > state.options.max_size) // a slow dial that succeeded after all
    retire(*up);
  close_left(self);
  fill(self);
}

void went_down(self_ptr self, const caf::down_msg& down) {
  auto& state = self->state;
  const auto found = std::find_if(state.slots.begin(), state.slots.end(), [&down](const slot& one) {
    return one.connection.address() == down.source;
  });
  if (found == state.slots.end())
    return;
  const auto at = found->at;
  const bool meant = found->leaving;
  if (at == stage::lent || at == stage::returning)
    --metrics_of(state).lent;
  state.slots.erase(found);
  if (meant)
    return;
  const auto why = to_failure(down.reason).detail;
  const bool was_up = at != stage::dialing;
  if (at != stage::lost && (was_up || why != state.last_failure))
    log::warn("pool", (was_up ? "lost a connection: " : "cannot connect: ") + why);
  state.last_failure = why;
  if (!was_up) {
    const backoff pause{state.options.reconnect_base, state.options.reconnect_cap};
    pause_dialing(self, pause.after(++state.failures, random(state)));
  } else if (at != stage::lost) {
    replace_soon(self);
  }
}

void dismiss(self_ptr self, slot& broken) {
  // No more urgent than the statements that it was given meanwhile, which come back.
  caf::anon_send(caf::actor_cast<caf::actor>(broken.connection),
                 caf::exit_msg{self->address(), caf::exit_reason::normal});
  std::erase_if(self->state.slots, [id = broken.id](const slot& one) { return one.id == id; });
}

void lost(self_ptr self, std::uint64_t id, const caf::error& why) {
  auto& state = self->state;
  auto* gone = find(state, id);
  if (gone == nullptr || gone->at == stage::lost)
    return;
  state.last_failure = to_failure(why).detail;
  log::warn("pool", "lost a connection: " + state.last_failure);
  const bool meant = gone->leaving;
  if (gone->at == stage::lent || gone->at == stage::returning)
    --metrics_of(state).lent;
  if (gone->at == stage::lent)
    gone->at = stage::lost; // its borrower does not know yet
  else
    dismiss(self, *gone);
  if (!meant)
    replace_soon(self);
}

void close(self_ptr self, std::uint64_t id, const caf::error& why) {
  if (auto* one = find(self->state, id))
    self->send_exit(one->connection, why);
}

void close_left(self_ptr self) {
  auto& state = self->state;
  std::erase_if(state.slots, [&](const slot& one) {
    if (!one.leaving || one.at != stage::ready || !one.idle())
      return false;
    ++metrics_of(state).retired;
    self->send_exit(one.connection, caf::exit_reason::normal);
    return true;
  });
}

void look_after(self_ptr self) {
  auto& state = self->state;
  const auto now = self->clock().now();
  auto surplus = static_cast<std::int64_t>(count_live(state, now))
                 - static_cast<std::int64_t>(floor_of(state));
  for (auto one = state.slots.rbegin(); one != state.slots.rend() && surplus > 0; ++one) {
    if (!one->shared() || one->aged || !one->idle()
        || now - one->used_at < state.options.idle_limit)
      continue;
    retire(*one);
    --surplus;
  }
  const bool replacing =
      std::any_of(state.slots.begin(), state.slots.end(), [](const slot& one) { return one.aged; });
  if (!replacing) {
    const auto old = std::find_if(state.slots.begin(), state.slots.end(), [now](const slot& one) {
      return one.shared() && one.retire_at <= now;
    });
    if (old != state.slots.end()) {
      old->aged = true;
      if (count_live(state, now) >= floor_of(state))
        retire(*old);
    }
  }
  close_left(self);
  fill(self);
}

} // namespace troupe::pooling
