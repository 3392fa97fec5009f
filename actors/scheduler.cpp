#include "actors/scheduler.hpp"

#include "actors/guard.hpp"

namespace troupe {

namespace {

using self_ptr = scheduler_impl::stateful_pointer<scheduler_state>;

void arm(self_ptr self, caf::timespan delay) {
  auto& state = self->state;
  delay = std::min<caf::timespan>(delay, scheduler_state::longest_timer);
  const auto when =
      self->clock().now() + std::chrono::duration_cast<std::chrono::nanoseconds>(delay);
  if (state.armed_for && *state.armed_for <= when)
    return;
  state.armed_for = when;
  self->delayed_send(self, delay, tick_atom_v, ++state.timer);
}

void promote(self_ptr self) {
  auto& state = self->state;
  if (state.promoting) {
    state.again = true;
    return;
  }
  state.promoting = true;
  state.again = false;
  self->request(state.store, caf::infinite, promote_due{scheduler_state::batch})
      .then(
          [self](promoted_jobs& moved) {
            auto& now = self->state;
            now.promoting = false;
            now.counters->jobs_promoted += static_cast<std::uint64_t>(moved.count);
            for (auto& queue : moved.queues)
              self->send(now.executor, wake_atom_v, std::move(queue));
            if (now.again || moved.count >= scheduler_state::batch)
              return promote(self);
            if (moved.next_due && moved.count == 0 && moved.next_due->count() == 0)
              arm(self, scheduler_state::blocked_pause);
            else if (moved.next_due)
              arm(self, *moved.next_due);
          },
          [self](caf::error& error) {
            self->state.promoting = false;
            log::warn("scheduler", "no round: " + to_failure(error).detail);
            arm(self, scheduler_state::retry_pause);
          });
}

} // namespace

scheduler_impl::behavior_type scheduler(scheduler_impl::stateful_pointer<scheduler_state> self,
                                        store_actor store, executor_actor executor,
                                        engine_counters* counters) {
  self->state.store = std::move(store);
  self->state.executor = std::move(executor);
  self->state.counters = counters;
  return {
      [self](due_atom, caf::timespan delay) { arm(self, delay); },
      [self](tick_atom, std::uint64_t timer) {
        if (timer != self->state.timer)
          return;
        self->state.armed_for.reset();
        promote(self);
      },
  };
}

} // namespace troupe
