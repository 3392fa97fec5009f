#include "actors/executor.hpp"

#include "actors/executor_claiming.hpp"
#include "actors/executor_writing.hpp"
#include "actors/guard.hpp"
#include "actors/runner.hpp"

namespace troupe {

namespace {

using self_ptr = executor_impl::stateful_pointer<executor_state>;
using queue_state = executor_state::queue_state;

void assign(self_ptr self, assignment given) {
  auto& state = self->state;
  if (state.idle.empty()) {
    const auto number = state.runners.size();
    state.runners.push_back(self->spawn(runner, number, job_reports_actor{executor_impl{self}},
                                        state.handlers, state.options.work,
                                        state.options.stuck_after));
    state.idle.push_back(number);
  }
  const auto number = state.idle.back();
  state.idle.pop_back();
  state.running[given.run->id] = {number, false};
  given.node = state.node;
  ++state.counters->running;
  self->send(state.runners[number], std::move(given));
}

void put_back(self_ptr self, assignment given, queue_state& queue, bool cancelled);
void return_backlog(self_ptr self);
void return_backlog(self_ptr self, queue_state& queue);

bool is_last_chance(const assignment& given) {
  return given.run->losses >= 2;
}

void end_last_chance(self_ptr self) {
  self->state.last_chance = false;
  for (auto& [name, queue] : self->state.queues) {
    if (queue.last_chances.empty())
      continue;
    queue.backlog.insert(queue.backlog.begin(), std::make_move_iterator(queue.last_chances.begin()),
                         std::make_move_iterator(queue.last_chances.end()));
    queue.last_chances.clear();
    start_backlog(self, queue);
  }
}

/// A job that was lost before: when this node dies, too, the loss counts only if it had started.
void announce(self_ptr self, const assignment& next, queue_state& queue) {
  auto& state = self->state;
  ++state.announced;
  const auto node = state.node;
  const auto not_started = [self, &queue, last = is_last_chance(next)] {
    --queue.running;
    if (last)
      end_last_chance(self);
    start_backlog(self, queue);
    check_drained(self);
  };
  const start_run ask{node, next.lease, next.run->id};
  self->request(state.store, caf::infinite, ask)
      .then(
          [=, &queue](bool ours) {
            auto& now = self->state;
            --now.announced;
            if (node == now.node && ours && now.starts())
              return assign(self, next);
            if (node == now.node && ours) {
              put_back(self, next, queue, false);
              write_outcomes(self);
            } else if (node == now.node) {
              static_cast<void>(now.leases.ended(next.lease));
              ++now.counters->attempts_fenced;
            }
            not_started();
          },
          [=, &queue](const caf::error&) {
            --self->state.announced;
            if (node == self->state.node) {
              put_back(self, next, queue, false);
              write_outcomes(self);
            }
            not_started();
          });
}

} // namespace

void start_backlog(self_ptr self, queue_state& queue) {
  auto& state = self->state;
  if (!state.starts())
    return return_backlog(self);
  if (queue.permits.allowed() == 0 && !queue.claiming) // there is no telling when we have one again
    return return_backlog(self, queue);
  while (queue.running < queue.places() && !queue.backlog.empty()) {
    auto next = std::move(queue.backlog.front());
    queue.backlog.pop_front();
    if (is_last_chance(next) && std::exchange(state.last_chance, true)) {
      queue.last_chances.push_back(std::move(next));
      continue;
    }
    --state.counters->backlog;
    ++queue.running;
    if (next.run->losses > 0)
      announce(self, next, queue);
    else
      assign(self, std::move(next));
  }
}

namespace {

void report(self_ptr self, job_report& told) {
  auto& state = self->state;
  const auto& run = *told.run.run;
  auto& queue = *queue_of(state, run.queue);
  const bool free = told.idle ? state.stuck.erase(told.runner) == 0
                              : told.stuck && state.stuck.size() < executor_state::max_stuck
                                    && state.stuck.insert(told.runner).second;
  if (told.idle)
    state.idle.push_back(told.runner);
  if (free) {
    --queue.running;
    --state.counters->running;
  }
  state.counters->stuck = state.stuck.size();
  if (told.result) {
    const auto entry = state.running.find(run.id);
    const bool cancelled = entry != state.running.end() && entry->second.cancelled;
    if (entry != state.running.end() && entry->second.runner == told.runner)
      state.running.erase(entry);
    // It would not have failed, had the engine not ended: that costs no attempt.
    if (state.halted && told.stopped && !cancelled
        && told.result->kind == job_result::verdict::failed)
      told.result = snoozed(std::chrono::milliseconds{0});
    queue.limits.ran(told.finished - told.started);
    note_ended(state, told, queue, cancelled);
    write_outcomes(self);
  }
  if (free && is_last_chance(told.run))
    end_last_chance(self);
  start_backlog(self, queue);
  claim(self, state.queues.find(run.queue)->first, queue);
  invite(self, state.queues.find(run.queue)->first, queue);
  if (queue.permits.limited())
    write_outcomes(self);
  check_drained(self);
}

/// Runs and leases of an earlier life are void: stop what runs, forget the rest.
void forget_life(self_ptr self) {
  auto& state = self->state;
  for (auto& [job, entry] : state.running)
    self->send(state.runners[entry.runner], cancel_atom_v);
  for (auto& [name, queue] : state.queues) {
    state.counters->backlog -= queue.backlog.size() + queue.last_chances.size();
    queue.backlog.clear();
    queue.last_chances.clear();
    queue.permits = {};
  }
  state.limited.clear();
  drop_unwritten(state);
  state.leases.clear();
  state.suspects.clear();
  check_drained(self);
}

/// A job that was claimed and not started goes back: a snooze without delay costs it nothing.
void put_back(self_ptr self, assignment given, queue_state& queue, bool cancelled) {
  job_report back;
  back.ran = false;
  back.run = std::move(given);
  back.result = snoozed(std::chrono::milliseconds{0});
  back.started = back.finished = self->clock().now();
  note_ended(self->state, back, queue, cancelled);
}

void cancel(self_ptr self, job_id id) {
  auto& state = self->state;
  const auto entry = state.running.find(id);
  if (entry != state.running.end()) {
    if (!entry->second.cancelled) {
      entry->second.cancelled = true;
      ++state.counters->attempts_cancelled;
      self->send(state.runners[entry->second.runner], cancel_atom_v);
    }
    return;
  }
  for (auto& [name, queue] : state.queues) {
    for (auto* some : {&queue.backlog, &queue.last_chances}) {
      const auto waiting = std::find_if(some->begin(), some->end(),
                                        [id](const assignment& a) { return a.run->id == id; });
      if (waiting == some->end())
        continue;
      // The hint may be stale, so the database is told: if there is no outcome, the job runs later.
      put_back(self, std::move(*waiting), queue, true);
      some->erase(waiting);
      --state.counters->backlog;
      return write_outcomes(self);
    }
  }
}

void return_backlog(self_ptr self, queue_state& queue) {
  for (auto* some : {&queue.backlog, &queue.last_chances}) {
    for (auto& given : *some)
      put_back(self, std::move(given), queue, false);
    self->state.counters->backlog -= some->size();
    some->clear();
  }
  write_outcomes(self);
}

void return_backlog(self_ptr self) {
  for (auto& [name, queue] : self->state.queues)
    return_backlog(self, queue);
}

void pause(self_ptr self, const std::string& name) {
  const auto found = self->state.queues.find(name);
  if (found == self->state.queues.end())
    return;
  found->second.hungry = false; // whoever resumes it wakes us
  found->second.emptied = false;
  return_backlog(self, found->second);
}

/// As a pause of every queue.
void be_quiet(self_ptr self, bool quiet) {
  self->state.quiet = quiet;
  if (!quiet)
    return claim_where_room(self); // of what it has not heard the next pulse tells
  for (auto& [name, queue] : self->state.queues)
    queue.emptied = false;
  return_backlog(self);
}

void cap_permits(self_ptr self, const std::vector<permit_cap>& caps) {
  auto& state = self->state;
  for (const auto& name : state.limited)
    state.queues.at(name).permits.cap(held_permits::unlimited);
  for (const auto& one : caps) {
    if (!state.limited.contains(one.queue))
      continue;
    auto& queue = state.queues.at(one.queue);
    queue.permits.cap(one.most);
    if (one.most == 0)
      return_backlog(self, queue);
  }
  write_outcomes(self);
}

void wake(self_ptr self, const std::string& name) {
  auto& state = self->state;
  if (!state.awaited.empty() && state.awaited.erase(name) > 0)
    self->send(state.dispatcher, wake_atom_v, name);
  auto* queue = queue_of(state, name);
  if (queue == nullptr)
    return;
  queue->hungry = true;
  claim(self, state.queues.find(name)->first, *queue);
}

} // namespace

executor_impl::behavior_type executor(executor_impl::stateful_pointer<executor_state> self,
                                      executor_options options, store_actor store,
                                      engine_counters* counters) {
  auto& state = self->state;
  state.options = std::move(options);
  state.store = std::move(store);
  state.counters = counters;
  self->set_exit_handler([self](const caf::exit_msg& exit) {
    for (auto& one : self->state.runners)
      self->send_exit(one, exit.reason);
    for (auto& promise : self->state.drained)
      promise.deliver(make_error(errc::stopping));
    self->quit(exit.reason);
  });
  return {
      guarded([self](wake_atom, const std::string& name) { wake(self, name); }),
      guarded([self](halt_atom, const std::string& name) { pause(self, name); }),
      guarded([self](const std::vector<permit_cap>& caps) { cap_permits(self, caps); }),
      guarded([self](cancel_atom, const std::vector<job_id>& ids) {
        for (const auto id : ids)
          cancel(self, id);
      }),
      guarded([self](node_id node) {
        if (self->state.node.value != 0)
          forget_life(self);
        self->state.node = node;
        claim_where_room(self);
      }),
      guarded([self](const std::vector<lease_id>& stored) { adopt_lost(self, stored); }),
      guarded([self](drain_atom) -> caf::result<void> {
        self->state.draining = true;
        self->state.drained.push_back(self->make_response_promise());
        auto promise = self->state.drained.back();
        return_backlog(self);
        check_drained(self);
        return promise;
      }),
      guarded([self](drain_atom, bool quiet) { be_quiet(self, quiet); }),
      guarded([self](halt_atom) {
        self->state.halted = true;
        for (auto& [job, entry] : self->state.running)
          self->send(self->state.runners[entry.runner], cancel_atom_v);
      }),
      [self](const scheduler_actor& scheduler) { self->state.scheduler = scheduler; },
      [self](const intake_actor& intake) { self->state.intake = intake; },
      [self](const notifier_actor& notifier) { self->state.notifier = notifier; },
      guarded([self](const woken_actor& dispatcher, const std::string& name) {
        self->state.dispatcher = dispatcher;
        if (self->state.awaited.size() < executor_state::max_queues)
          self->state.awaited.insert(name);
      }),
      guarded([self](const enqueue_jobs_ptr& asked) { return store_and_start(self, asked); }),
      [self](const handler_table_ptr& handlers) { self->state.handlers = handlers; },
      guarded([self](job_report& told) { report(self, told); }),
      guarded([self](due_atom, const std::string& name) {
        auto& queue = self->state.queues.at(name);
        if (!queue.due
            || self->clock().now() < *queue.due) // of a timer that an earlier one replaced
          return;
        queue.due.reset();
        queue.hungry = true;
        claim(self, self->state.queues.find(name)->first, queue);
      }),
      guarded([self](tick_atom) {
        self->state.resting = false;
        write_outcomes(self);
      }),
  };
}

} // namespace troupe
