#include "actors/notifier.hpp"

#include "actors/guard.hpp"
#include "db/statements.hpp"

namespace troupe {

namespace {

using self_ptr = notifier_impl::stateful_pointer<notifier_state>;

void dial(self_ptr self) {
  auto& state = self->state;
  state.load = std::make_shared<connection_load>();
  connection_config wanted;
  wanted.options = state.options.connection;
  wanted.io = state.io;
  wanted.sockets = state.options.sockets != nullptr ? state.options.sockets : state.io;
  wanted.counters = state.counters;
  wanted.metrics = state.options.metrics;
  wanted.load = state.load;
  wanted.id = ++state.id;
  wanted.pool = notifier_impl{self};
  wanted.listener = notifier_impl{self};
  state.connection = state.make(self, std::move(wanted));
}

/// Whatever was told from here on is lost, and this node sleeps nowhere.
void lose(self_ptr self, const caf::error& why) {
  auto& state = self->state;
  if (!state.connection)
    return;
  if (state.listening || state.failures == 0)
    log::warn("notifier", "not listening: " + to_failure(why).detail);
  self->send_exit(state.connection, make_error(errc::stopping, "it does not listen any more"));
  state.connection = nullptr;
  if (std::exchange(state.listening, false))
    ++state.counters->notifier_reconnects;
  ++state.counters->token_changes;
  state.counters->listening = 0;
  state.book.clear();
  state.asking = false;
  const backoff pause{state.options.reconnect_base, state.options.reconnect_cap};
  self->delayed_send(
      self, pause.after(++state.failures, static_cast<std::uint32_t>(state.random())), dial_atom_v);
}

/// Hands the rows to `then`; without them the connection is of no use, for nobody knows what its
/// session holds.
template<class Then>
void ask(self_ptr self, db::query query, Then then) {
  auto& state = self->state;
  ++state.load->in_flight;
  self->request(state.connection, caf::infinite,
                std::make_shared<const db::query>(std::move(query)))
      .then(
          [self, then, id = state.id](const db::result& rows) {
            if (id == self->state.id && self->state.connection)
              then(rows);
          },
          [self, id = state.id](const caf::error& why) {
            if (id == self->state.id)
              lose(self, why);
          });
}

void go_to_sleep(self_ptr self);

/// Timers cannot be taken back: the earliest counts.
void arm(self_ptr self) {
  auto& state = self->state;
  const auto now = self->clock().now();
  const auto due = state.book.due(now);
  if (!state.listening || state.asking || !due)
    return;
  if (*due <= now)
    return go_to_sleep(self);
  if (state.armed_for && *state.armed_for > now && *state.armed_for <= *due)
    return;
  state.armed_for = *due;
  self->delayed_send(self, *due - now, tick_atom_v, ++state.timer);
}

void go_to_sleep(self_ptr self) {
  auto& state = self->state;
  const auto wanted = state.book.next(self->clock().now());
  if (wanted.empty())
    return;
  state.asking = true;
  ask(self, db::sleep_query(wanted), [self](const db::result& rows) {
    auto& now = self->state;
    now.asking = false;
    for (auto& queue : now.book.answered(db::decode_slept(rows), self->clock().now(), now.random))
      self->send(now.peers.executor, wake_atom_v, std::move(queue));
    arm(self);
  });
}

void check_later(self_ptr self) {
  self->delayed_send(self, self->state.options.check_interval, keep_atom_v, self->state.id);
}

/// What was told before is lost. EXECUTOR finds out in which queues there is nothing; the heartbeat
/// has all else.
void look_at_everything(self_ptr self) {
  ++self->state.counters->token_changes;
  ask(self, db::recent_queues_query(static_cast<std::int32_t>(sleep_book::max_queues)),
      [self](const db::result& rows) {
        for (auto& queue : db::decode_recent_queues(rows))
          self->send(self->state.peers.executor, wake_atom_v, std::move(queue));
      });
  self->send(self->state.peers.pulse, beat_atom_v, node_id{});
}

void begin(self_ptr self) {
  ask(self, db::listen_query(), [self](const db::result&) {
    auto& state = self->state;
    state.listening = true;
    state.failures = 0;
    state.counters->listening = 1;
    look_at_everything(self);
    check_later(self);
  });
}

void hear(self_ptr self, const db::notification& note) {
  auto& state = self->state;
  const auto hint = db::parse_hint(note.payload);
  if (!hint)
    return;
  ++state.counters->notifications;
  if (const auto* wake = std::get_if<db::wake_hint>(&*hint)) {
    self->send(state.peers.executor, wake_atom_v, wake->queue);
    state.book.told(wake->queue, self->clock().now());
    arm(self);
  } else if (const auto* due = std::get_if<db::due_hint>(&*hint)) {
    self->send(state.peers.scheduler, due_atom_v, caf::timespan{due->delay});
  } else if (const auto* beat = std::get_if<db::beat_hint>(&*hint)) {
    self->send(state.peers.pulse, beat_atom_v, beat->node.value_or(node_id{}));
  } else if (std::holds_alternative<db::token_hint>(*hint)) {
    ++state.counters->token_changes;
  }
}

void check(self_ptr self, std::uint64_t id) {
  auto& state = self->state;
  if (id != state.id || !state.listening)
    return;
  ask(self, db::query{db::sql::session_ping}, [self](const db::result&) { check_later(self); });
}

} // namespace

notifier_impl::behavior_type notifier_with(notifier_impl::stateful_pointer<notifier_state> self,
                                           notifier_options options, notifier_peers peers,
                                           io_loop* io, engine_counters* counters,
                                           listening_maker make) {
  auto& state = self->state;
  state.options = std::move(options);
  state.peers = std::move(peers);
  state.io = io;
  state.counters = counters;
  state.make = std::move(make);
  self->set_down_handler([self](const caf::down_msg& down) {
    if (self->state.connection == down.source)
      lose(self, down.reason);
  });
  self->set_exit_handler([self](const caf::exit_msg& exit) {
    if (self->state.connection)
      self->send_exit(self->state.connection, exit.reason);
    self->quit(exit.reason);
  });
  self->set_error_handler([](const caf::error&) {}); // who is told something may answer with one
  caf::anon_send(state.peers.executor, notifier_actor{notifier_impl{self}});
  dial(self);
  return {
      guarded([self](idle_atom, const std::string& queue, bool fruitful) {
        if (!self->state.listening)
          return;
        self->state.book.idle(queue, fruitful, self->clock().now());
        arm(self);
      }),
      [](const query_ptr&) -> caf::result<db::result> {
        return make_error(errc::unavailable, "the listening connection broke");
      },
      [self](up_atom, std::uint64_t id) {
        if (id == self->state.id && self->state.connection)
          begin(self);
      },
      [](room_atom) {},
      [self](lost_atom, std::uint64_t id, const caf::error& why) {
        if (id == self->state.id)
          lose(self, why);
      },
      guarded([self](const db::notification& note) { hear(self, note); }),
      [self](dial_atom) { dial(self); },
      [self](keep_atom, std::uint64_t id) { check(self, id); },
      [self](tick_atom, std::uint64_t timer) {
        if (timer != self->state.timer)
          return;
        self->state.armed_for.reset();
        arm(self);
      },
  };
}

notifier_impl::behavior_type notifier(notifier_impl::stateful_pointer<notifier_state> self,
                                      notifier_options options, notifier_peers peers, io_loop* io,
                                      engine_counters* counters) {
  return notifier_with(self, std::move(options), std::move(peers), io, counters,
                       [](notifier_impl::pointer owner, connection_config wanted) {
                         return owner->spawn<caf::monitored>(connection, std::move(wanted));
                       });
}

} // namespace troupe
