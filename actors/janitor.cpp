#include "actors/janitor.hpp"

#include "actors/guard.hpp"

#include <utility>

namespace troupe {

namespace {

using self_ptr = janitor_impl::stateful_pointer<janitor_state>;

void rescue(self_ptr self, node_id dead) {
  self->request(self->state.store, caf::infinite, rescue_node{dead})
      .then(
          [self, dead](rescued_jobs& rescued) {
            auto& state = self->state;
            state.counters->jobs_rescued += static_cast<std::uint64_t>(rescued.count);
            state.counters->leases_expired += static_cast<std::uint64_t>(rescued.leases);
            if (rescued.count > 0)
              log::warn("janitor", "took " + std::to_string(rescued.count)
                                       + " jobs back from dead node " + std::to_string(dead.value)
                                       + ", " + std::to_string(rescued.quarantined)
                                       + " of them quarantined");
            for (auto& queue : rescued.queues)
              self->send(state.executor, wake_atom_v, std::move(queue));
          },
          [dead](caf::error& error) { // the next pulse names the node again
            log::warn("janitor", "cannot rescue node " + std::to_string(dead.value) + ": "
                                     + to_failure(error).detail);
          });
}

void go_on(self_ptr self, std::chrono::milliseconds pause) {
  self->delayed_send(self, pause, tick_atom_v);
}

/// A step at a time, so that a statement is short for those behind it on its connection.
void expire(self_ptr self) {
  self->request(self->state.store, caf::infinite, expire_jobs{})
      .then(
          [self](const expired_jobs& done) {
            self->state.counters->jobs_expired += static_cast<std::uint64_t>(done.dropped);
            if (done.step == "dropped" || done.step == "moved")
              log::info("janitor", "dropped " + std::to_string(done.dropped)
                                       + " jobs past their ages, from " + std::to_string(done.low)
                                       + " on, and kept " + std::to_string(done.kept));
            const bool rest = done.step.empty() || done.step == "waits" || done.step == "busy";
            go_on(self, rest ? janitor_state::upkeep_interval : janitor_state::step_interval);
          },
          [self](caf::error& error) {
            log::warn("janitor", "history was not dropped: " + to_failure(error).detail);
            go_on(self, janitor_state::upkeep_interval);
          });
}

/// Steps, one after the other, until there is nothing that can be done now. What is left then, a
/// step that failed or an operation of a node that is gone, is found by the next tick.
void step(self_ptr self) {
  if (std::exchange(self->state.stepping, true))
    return;
  self->request(self->state.store, caf::infinite, step_bulk{})
      .then(
          [self](stepped_bulk& done) {
            auto& state = self->state;
            state.stepping = false;
            if (done.id == 0)
              return;
            if (!done.error.empty())
              log::warn("janitor", "a step of bulk operation " + std::to_string(done.id)
                                       + " was undone: " + done.error);
            else if (done.state == "done")
              log::info("janitor", "bulk operation " + std::to_string(done.id) + " is done");
            for (auto& queue : done.queues)
              self->send(state.executor, wake_atom_v, std::move(queue));
            if (!done.running.empty())
              self->send(state.executor, cancel_atom_v, std::move(done.running));
            self->send(self, wake_atom_v); // others are heard in between
          },
          [self](caf::error& error) {
            self->state.stepping = false;
            log::warn("janitor", "no step of a bulk operation: " + to_failure(error).detail);
          });
}

/// What /metrics shows until the next round. One question at a time, and nobody waits for it.
void read_measures(self_ptr self) {
  if (std::exchange(self->state.measuring, true))
    return;
  self->request(self->state.store, caf::infinite, measure_database{limits::measured_queues})
      .then(
          [self](database_measures& read) {
            self->state.measuring = false;
            self->state.counters->measured.store(
                std::make_shared<const database_measures>(std::move(read)));
          },
          [self](caf::error& error) {
            self->state.measuring = false;
            log::warn("janitor", "no measures: " + to_failure(error).detail);
          });
}

/// The same.
void read_counts(self_ptr self) {
  get_counts ask;
  ask.limit = limits::measured_queues;
  self->request(self->state.store, caf::infinite, std::move(ask))
      .then(
          [self](counts_page& page) {
            self->state.counters->jobs.store(
                std::make_shared<const std::vector<job_counts>>(std::move(page.queues)));
            expire(self);
          },
          [self](caf::error& error) {
            log::warn("janitor", "no counts: " + to_failure(error).detail);
            expire(self);
          });
}

void keep_up(self_ptr self) {
  self->request(self->state.store, caf::infinite, upkeep{})
      .then(
          [self](const upkept& done) {
            if (done.partitions_made > 0)
              log::info("janitor", "made " + std::to_string(done.partitions_made) + " partitions");
            if (done.partitions_dropped > 0)
              log::info("janitor", "dropped " + std::to_string(done.partitions_dropped)
                                       + " partitions of entries");
            read_counts(self);
          },
          [self](caf::error& error) {
            log::warn("janitor", "no upkeep: " + to_failure(error).detail);
            go_on(self, janitor_state::upkeep_interval);
          });
}

} // namespace

janitor_impl::behavior_type janitor(janitor_impl::stateful_pointer<janitor_state> self,
                                    store_actor store, executor_actor executor,
                                    engine_counters* counters) {
  self->state.store = std::move(store);
  self->state.executor = std::move(executor);
  self->state.counters = counters;
  self->send(self, tick_atom_v);
  return {
      [self](node_id dead) { rescue(self, dead); },
      [self](wake_atom) { step(self); },
      [self](tick_atom) {
        step(self);
        read_measures(self);
        keep_up(self);
      },
  };
}

} // namespace troupe
