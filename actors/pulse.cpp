#include "actors/pulse.hpp"

#include "actors/guard.hpp"

#include <algorithm>

namespace troupe {

namespace {

using self_ptr = pulse_actor::stateful_pointer<pulse_state>;

void again(self_ptr self) {
  auto& state = self->state;
  state.hurrying = std::exchange(state.news, false);
  if (!state.ending)
    self->delayed_send(self, state.hurrying ? state.options.least_pause : state.options.interval,
                       tick_atom_v, ++state.timer);
}

join_node joining(const pulse_state& state) {
  const auto& options = state.options;
  join_node ask{options.node_name};
  ask.draining = state.draining;
  ask.slots = std::max(0, options.default_slots);
  if (options.default_slots <= 0)
    ask.serves.emplace();
  for (const auto& [queue, slots] : options.queues) {
    ask.slot_queues.push_back(queue);
    ask.queue_slots.push_back(std::max(0, slots));
    if (slots <= 0)
      ask.skips.push_back(queue);
    else if (ask.serves)
      ask.serves->push_back(queue);
  }
  if (options.kinds.size() <= pulse_options::most_kinds)
    ask.kinds = options.kinds;
  return ask;
}

void join(self_ptr self) {
  self->request(self->state.store, caf::infinite, joining(self->state))
      .then(
          [self](node_id node) {
            if (self->state.ending) { // nobody will beat for it
              caf::anon_send(self->state.store, leave_node{node});
              return;
            }
            self->state.node = node;
            log::info("pulse", "joined as node " + std::to_string(node.value) + " ("
                                   + self->state.options.node_name + ")");
            self->send(self->state.executor, node);
            self->send(self, tick_atom_v, ++self->state.timer);
          },
          [self](caf::error& error) {
            log::warn("pulse", "cannot join: " + to_failure(error).detail);
            again(self);
          });
}

void heard(self_ptr self, pulse& answer) {
  auto& state = self->state;
  if (state.ending)
    return; // an answer that was on its way when this life ended
  // Before anything else: a life that was ended meanwhile was asked, too, and the next one goes on
  // with it.
  if (std::exchange(state.draining, answer.draining) != answer.draining) {
    log::info("pulse", answer.draining ? "drained by an operator: takes no more jobs"
                                       : "the drain is over: takes jobs again");
    self->send(state.executor, drain_atom_v, answer.draining);
  }
  if (!answer.alive) {
    log::warn("pulse", "declared dead by another node; joining anew");
    state.node = {};
    // Nothing of this life may start any more when the next one begins.
    self->request(state.executor, caf::infinite, node_id{})
        .then([self] { join(self); }, [self](caf::error&) { again(self); });
    return;
  }
  ++state.counters->heartbeats;
  if (!answer.cancelled.empty())
    self->send(state.executor, cancel_atom_v, std::move(answer.cancelled));
  self->send(state.executor, std::move(answer.leases));
  for (const auto dead : answer.dead)
    self->send(state.janitor, dead);
  if (answer.next_due)
    self->send(state.scheduler, due_atom_v, caf::timespan{*answer.next_due});
  for (auto& queue : answer.paused)
    self->send(state.executor, halt_atom_v, std::move(queue));
  self->send(state.executor, std::move(answer.caps));
  for (auto& queue : answer.queues)
    self->send(state.executor, wake_atom_v, std::move(queue));
  again(self);
}

void beat_once(self_ptr self) {
  self->state.beating = true;
  self->state.hurrying = false;
  self->request(self->state.store, caf::infinite, beat{self->state.node})
      .then(
          [self](pulse& answer) {
            self->state.beating = false;
            heard(self, answer);
          },
          [self](caf::error& error) {
            self->state.beating = false;
            self->state.news = false; // a database that does not answer is not asked faster
            log::warn("pulse", "no heartbeat: " + to_failure(error).detail);
            again(self);
          });
}

} // namespace

pulse_actor::behavior_type pulse_of_node(pulse_actor::stateful_pointer<pulse_state> self,
                                         pulse_options options, store_actor store,
                                         executor_actor executor, scheduler_actor scheduler,
                                         janitor_actor janitor, engine_counters* counters) {
  auto& state = self->state;
  state.options = std::move(options);
  state.store = std::move(store);
  state.executor = std::move(executor);
  state.scheduler = std::move(scheduler);
  state.janitor = std::move(janitor);
  state.counters = counters;
  self->send(self, tick_atom_v, state.timer);
  return {
      [self](tick_atom, std::uint64_t timer) {
        if (self->state.ending || timer != self->state.timer)
          return;
        if (self->state.node.value == 0)
          join(self);
        else
          beat_once(self);
      },
      [self](beat_atom, node_id node) {
        auto& now = self->state;
        if (now.ending || now.node.value == 0 || (node.value != 0 && node != now.node))
          return; // the first beat of a life is at its beginning
        now.news = now.beating;
        if (now.beating || now.hurrying)
          return;
        ++now.timer;
        beat_once(self);
      },
      [self](drain_atom) -> caf::result<void> {
        auto& now = self->state;
        now.ending = true;
        if (now.node.value == 0)
          return caf::unit;
        return self->delegate(now.store, leave_node{now.node});
      },
  };
}

} // namespace troupe
