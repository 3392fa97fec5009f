#include "actors/pool.hpp"

#include "actors/pool_slots.hpp"
#include "messages/interfaces.hpp"

#include <algorithm>

namespace troupe {

namespace {

using pooling::self_ptr;
using pooling::slot;
using pooling::stage;
using namespace std::chrono_literals;

constexpr auto sweep_interval = 100ms;
constexpr auto keep_interval = 1s;

bool anybody_waits(const pool_state& state) {
  return !state.queries.empty() || !state.loans.empty();
}

void tell_waiting(pool_state& state) {
  state.counters->pool_waiting.store(state.queries.size() + state.loans.size());
}

/// Before the last look at what is in flight: an answer after it then sends room_atom.
void want_room(pool_state& state) {
  const bool wanted = anybody_waits(state);
  for (auto& one : state.slots)
    one.load->wanted.store(wanted || one.reserved || one.leaving);
}

/// Gives the connection to the first who waits for one.
void lend(self_ptr self, slot& to_lend) {
  auto& state = self->state;
  const auto first = state.loans.front();
  state.loans.pop_front();
  to_lend.at = stage::lent;
  to_lend.reserved = false;
  ++pooling::metrics_of(state).lent;
  auto give_back = [weak = caf::actor_cast<caf::weak_actor_ptr>(self->ctrl()),
                    id = to_lend.id](bool tainted) {
    if (auto strong = caf::actor_cast<pool_events_actor>(weak))
      caf::anon_send(strong, return_atom_v, id, tainted);
  };
  self->request(to_lend.connection, caf::infinite, lend_atom_v)
      .then(
          [self, first, connection = to_lend.connection, load = to_lend.load,
           give_back = std::move(give_back)] {
            pooling::metrics_of(self->state).acquire.record(self->clock().now() - first.since);
            first.what.promise.deliver(std::make_shared<const loan>(connection, give_back, load));
          },
          [self, first, id = to_lend.id](const caf::error&) { // it was ending
            if (auto* gone = pooling::find(self->state, id); gone && gone->at == stage::lost)
              pooling::dismiss(self, *gone);
            self->state.loans.push_front(first);
            self->send(self, room_atom_v);
          });
}

bool serve_loan(self_ptr self) {
  auto* found = pooling::pick_for_loan(self);
  if (found == nullptr)
    return false;
  lend(self, *found);
  return true;
}

bool serve_query(self_ptr self) {
  auto& state = self->state;
  auto* found = pooling::pick_shared(self);
  if (found == nullptr)
    return false;
  ++found->load->in_flight;
  auto& first = state.queries.front();
  pooling::metrics_of(state).acquire.record(self->clock().now() - first.since);
  first.what.promise.delegate(found->connection, first.what.query);
  state.queries.pop_front();
  return true;
}

/// In the order of asking. A loan that has to wait lets the queries behind it pass, onto other
/// connections than the one that is kept for it.
void serve(self_ptr self) {
  auto& state = self->state;
  if (state.loans.empty())
    for (auto& one : state.slots)
      one.reserved = false;
  want_room(state);
  while (anybody_waits(state)) {
    const bool loan_first =
        !state.loans.empty()
        && (state.queries.empty() || state.loans.front().turn < state.queries.front().turn);
    if (loan_first && serve_loan(self))
      continue;
    if (!state.queries.empty() && serve_query(self))
      continue;
    break;
  }
  tell_waiting(state);
  if (!anybody_waits(state))
    return want_room(state);
  pooling::fill(self);
  if (!state.queries.empty())
    pooling::grow(self);
}

template<class Waiting>
void refuse_late(self_ptr self, std::deque<Waiting>& queue, const caf::error& why) {
  auto& state = self->state;
  const auto now = self->clock().now();
  while (!queue.empty() && queue.front().since + state.options.acquire_timeout <= now) {
    pooling::metrics_of(state).acquire.record(now - queue.front().since);
    queue.front().what.promise.deliver(why);
    queue.pop_front();
    ++state.counters->pool_refused;
  }
}

void sweep(self_ptr self) {
  auto& state = self->state;
  const bool up = std::any_of(state.slots.begin(), state.slots.end(), [](const slot& one) {
    return one.at != stage::dialing && one.at != stage::lost;
  });
  const auto down = make_error(errc::unavailable, "no database connection: " + state.last_failure);
  refuse_late(self, state.queries,
              up ? make_error(errc::overloaded, "all database connections are busy") : down);
  refuse_late(
      self, state.loans,
      up ? make_error(errc::overloaded, "no database connection is free to be lent; an open "
                                        "session of one's own may hold the last"
                                            + (state.failures > 0 ? ": " + state.last_failure : ""))
         : down);
  tell_waiting(state);
  state.sweeping = anybody_waits(state);
  if (state.sweeping)
    self->delayed_send(self, sweep_interval, tick_atom_v);
}

/// Puts a caller into the queue; false: it is full.
template<class Waiting>
bool wait(self_ptr self, std::deque<Waiting>& queue, decltype(Waiting::what) what) {
  auto& state = self->state;
  if (state.queries.size() + state.loans.size() >= state.options.max_waiting) {
    ++state.counters->pool_refused;
    return false;
  }
  queue.push_back({++state.last_turn, std::move(what), self->clock().now()});
  if (!state.sweeping) {
    state.sweeping = true;
    self->delayed_send(self, sweep_interval, tick_atom_v);
  }
  serve(self);
  return true;
}

caf::error too_many_wait() {
  return make_error(errc::overloaded, "too many callers wait for a database connection");
}

caf::result<db::result> ask(self_ptr self, const query_ptr& query) {
  auto& state = self->state;
  if (state.queries.empty()) {
    if (auto* found = pooling::pick_shared(self)) {
      pooling::metrics_of(state).acquire.record(0ns);
      const auto chosen = found->connection; // growing moves the slots
      if (++found->load->in_flight > state.options.grow_at)
        pooling::grow(self);
      return self->delegate(chosen, query);
    }
  }
  auto promise = self->make_response_promise<db::result>();
  if (!wait(self, state.queries, {query, promise}))
    promise.deliver(too_many_wait());
  return promise;
}

caf::result<loan_ptr> ask_for_loan(self_ptr self) {
  auto& state = self->state;
  if (state.options.max_size <= state.options.shared())
    return make_error(errc::invalid_argument,
                      "a pool of one connection lends none; allow at least two");
  const kept_promise<loan_ptr> promise(self);
  if (!wait(self, state.loans, {promise}))
    promise.deliver(too_many_wait());
  return promise.result();
}

/// POOL's answer to the end of a loan: the connection undoes what was left and serves again.
void take_back(self_ptr self, std::uint64_t id, bool tainted) {
  auto& state = self->state;
  auto* back = pooling::find(state, id);
  if (back == nullptr)
    return;
  if (back->at == stage::lost)
    return pooling::dismiss(self, *back);
  back->at = stage::returning;
  self->request(back->connection, caf::infinite, return_atom_v, tainted)
      .then(
          [self, id] {
            if (auto* clean = pooling::find(self->state, id)) {
              clean->at = stage::ready;
              clean->used_at = self->clock().now();
              --pooling::metrics_of(self->state).lent;
              serve(self);
            }
          },
          [](const caf::error&) {}); // it ended, and POOL hears that, too
}

void stop(self_ptr self, const caf::error& reason) {
  auto& state = self->state;
  for (auto& one : state.slots)
    self->send_exit(one.connection, reason);
  for (auto& left : state.queries)
    left.what.promise.deliver(make_error(errc::stopping));
  for (auto& left : state.loans)
    left.what.promise.deliver(make_error(errc::stopping));
  state.queries.clear();
  state.loans.clear();
  tell_waiting(state);
  self->quit(reason);
}

} // namespace

pooled_connection_actor make_connection(pool_impl::pointer pool, connection_config config) {
  return pool->spawn<caf::monitored>(connection, std::move(config));
}

pool_impl::behavior_type pool_with(pool_impl::stateful_pointer<pool_state> self,
                                   pool_options options, io_loop* io, engine_counters* counters,
                                   connection_maker make) {
  auto& state = self->state;
  state.options = std::move(options);
  state.io = io;
  state.counters = counters;
  state.make = std::move(make);
  state.last_failure = "still connecting";
  self->set_down_handler([self](const caf::down_msg& down) {
    pooling::went_down(self, down);
    serve(self);
  });
  self->set_exit_handler([self](const caf::exit_msg& exit) { stop(self, exit.reason); });
  self->set_error_handler([](const caf::error&) {}); // who asks with send() may answer with one
  self->delayed_send(self, keep_interval, keep_atom_v);
  pooling::fill(self);
  return {
      [self](const query_ptr& query) { return ask(self, query); },
      [self](lend_atom) { return ask_for_loan(self); },
      [self](up_atom, std::uint64_t id) {
        pooling::came_up(self, id);
        serve(self);
      },
      [self](room_atom) {
        pooling::close_left(self);
        serve(self);
      },
      [self](lost_atom, std::uint64_t id, const caf::error& why) {
        pooling::lost(self, id, why);
        serve(self);
      },
      [self](return_atom, std::uint64_t id, bool tainted) { take_back(self, id, tainted); },
      [self](dial_atom) {
        pooling::fill(self);
        serve(self);
      },
      [self](keep_atom) {
        pooling::look_after(self);
        serve(self);
        self->delayed_send(self, keep_interval, keep_atom_v);
      },
      [self](tick_atom) { sweep(self); },
  };
}

pool_impl::behavior_type pool(pool_impl::stateful_pointer<pool_state> self, pool_options options,
                              io_loop* io, engine_counters* counters) {
  return pool_with(self, std::move(options), io, counters, make_connection);
}

} // namespace troupe
