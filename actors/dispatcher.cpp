#include "actors/dispatcher.hpp"

#include "actors/guard.hpp"

#include <algorithm>

namespace troupe {

namespace {

using self_ptr = dispatcher_impl::stateful_pointer<dispatcher_state>;
using queue_state = dispatcher_state::queue_state;

void leave_queues(dispatcher_state& state, std::uint64_t number) {
  for (const auto& name : state.waiters.at(number).asked.queues)
    if (const auto queue = state.queues.find(name); queue != state.queues.end()) {
      std::erase(queue->second.waiting, number);
      if (queue->second.waiting.empty() && !queue->second.claiming)
        state.queues.erase(queue);
    }
}

/// Takes the claim out of what waits; others may have its turn.
void answer(self_ptr self, std::uint64_t number, claimed_work&& with) {
  auto& state = self->state;
  leave_queues(state, number);
  const auto found = state.waiters.find(number);
  found->second.promise.deliver(std::move(with));
  state.waiters.erase(found);
}

void refuse(self_ptr self, std::uint64_t number, caf::error& why) {
  self->state.waiters.at(number).promise.deliver(std::move(why));
  answer(self, number, {});
}

void claim_next(self_ptr self, const std::string& name);

/// Timers cannot be taken back: the earliest counts.
void claim_later(self_ptr self, const std::string& name, queue_state& queue,
                 std::chrono::milliseconds wait) {
  const auto at = self->clock().now() + wait;
  if (queue.due && *queue.due <= at)
    return;
  queue.due = at;
  self->delayed_send(self, wait, due_atom_v, name);
}

/// What an answer says of the queue, whoever asked.
void note(self_ptr self, const std::string& name, const claimed_work& got) {
  auto& state = self->state;
  const auto found = state.queues.find(name);
  if (found == state.queues.end())
    return;
  auto& queue = found->second;
  if (!got.jobs.empty()) {
    queue.fruitful = queue.hungry = true;
  } else if (got.quiet || got.again.value_or(false)) { // quiet: that says nothing of the queue
    queue.hungry = true;
  } else if (got.wait && got.wait->count() > 0) {
    claim_later(self, name, queue, *got.wait);
  } else if (state.notifier && !queue.hungry) {
    self->send(state.notifier, idle_atom_v, name, std::exchange(queue.fruitful, false));
  }
}

/// Asks for a claim of one queue; whoever is woken there meanwhile is heard of.
template<class Then, class Failed>
void ask(self_ptr self, std::uint64_t number, const std::string& name, Then then, Failed failed) {
  auto& state = self->state;
  const auto& asked = state.waiters.at(number).asked;
  if (state.queues.contains(name))
    self->send(state.executor, woken_actor{dispatcher_impl{self}}, name);
  self->request(state.store, caf::infinite, claim_queue{asked.by, name, asked.limit})
      .then(then, failed);
}

/// It is free again; what came for its queues meanwhile may be for it.
void rest(self_ptr self, std::uint64_t number) {
  auto& state = self->state;
  auto& waiter = state.waiters.at(number);
  waiter.busy = false;
  if (waiter.expired || state.draining)
    return answer(self, number, {});
  const auto queues = waiter.asked.queues;
  for (const auto& name : queues)
    claim_next(self, name);
}

/// The worker that has waited longest in this queue claims, if there is reason to.
void claim_next(self_ptr self, const std::string& name) {
  auto& state = self->state;
  const auto found = state.queues.find(name);
  if (found == state.queues.end() || found->second.claiming || !found->second.hungry)
    return;
  auto& queue = found->second;
  const auto next =
      std::find_if(queue.waiting.begin(), queue.waiting.end(),
                   [&](std::uint64_t number) { return !state.waiters.at(number).busy; });
  if (next == queue.waiting.end())
    return;
  const auto number = *next;
  state.waiters.at(number).busy = true;
  queue.claiming = true;
  queue.hungry = false; // a wake that comes meanwhile sets it again
  ask(
      self, number, name,
      [self, number, name](claimed_work& got) {
        self->state.queues.at(name).claiming = false;
        note(self, name, got);
        if (got.quiet)
          leave_queues(self->state, number);
        if (got.jobs.empty())
          rest(self, number);
        else
          answer(self, number, std::move(got));
        claim_next(self, name);
      },
      [self, number, name](caf::error& why) {
        auto& failed = self->state.queues.at(name);
        failed.claiming = false;
        // One whose life is over says nothing of the queue; a database that does not answer is not
        // asked again for the others before somebody wakes them.
        failed.hungry = true;
        const bool gone = to_failure(why).code == errc::fenced;
        refuse(self, number, why);
        if (gone)
          claim_next(self, name);
      });
}

/// The first look of a claim, through its queues in their order.
void look(self_ptr self, std::uint64_t number, std::size_t nth) {
  auto& state = self->state;
  const auto& waiter = state.waiters.at(number);
  if (nth == waiter.asked.queues.size()) {
    const auto left = waiter.until - self->clock().now();
    if (left.count() <= 0)
      return answer(self, number, {});
    self->delayed_send(self, left, tick_atom_v, number);
    return rest(self, number);
  }
  const auto name = waiter.asked.queues[nth];
  ask(
      self, number, name,
      [self, number, nth, name](claimed_work& got) {
        if (got.quiet) {
          auto& waiters = self->state.waiters;
          leave_queues(self->state, number);
          return look(self, number, waiters.at(number).asked.queues.size());
        }
        note(self, name, got);
        if (got.jobs.empty())
          return look(self, number, nth + 1);
        answer(self, number, std::move(got));
        claim_next(self, name);
      },
      [self, number](caf::error& why) { refuse(self, number, why); });
}

caf::result<claimed_work> begin(self_ptr self, const claim_work& asked) {
  auto& state = self->state;
  if (state.waiters.size() >= state.options.max_waiting)
    return make_error(errc::overloaded, "too many workers wait for jobs at the same time");
  const auto number = ++state.last;
  const kept_promise<claimed_work> promise(self);
  auto until = self->clock().now();
  if (!state.draining)
    until += asked.wait;
  state.waiters.emplace(number, dispatcher_state::waiter{asked, promise, until});
  if (asked.wait.count() > 0)
    for (const auto& name : asked.queues)
      state.queues[name].waiting.push_back(number);
  look(self, number, 0);
  return promise.result();
}

void drain(self_ptr self) {
  auto& state = self->state;
  state.draining = true;
  std::vector<std::uint64_t> idle;
  for (const auto& [number, waiter] : state.waiters)
    if (!waiter.busy)
      idle.push_back(number);
  for (const auto number : idle)
    answer(self, number, {});
}

void wake(self_ptr self, const std::string& name) {
  const auto found = self->state.queues.find(name);
  if (found == self->state.queues.end())
    return;
  found->second.hungry = true;
  claim_next(self, name);
}

} // namespace

dispatcher_impl::behavior_type dispatcher(dispatcher_impl::stateful_pointer<dispatcher_state> self,
                                          dispatcher_options options, work_store_actor store,
                                          executor_actor executor) {
  auto& state = self->state;
  state.options = options;
  state.store = std::move(store);
  state.executor = std::move(executor);
  return {
      guarded([self](wake_atom, const std::string& name) { wake(self, name); }),
      guarded([self](const claim_work& asked) { return begin(self, asked); }),
      [self](const notifier_actor& notifier) { self->state.notifier = notifier; },
      guarded([self](drain_atom) { drain(self); }),
      guarded([self](tick_atom, std::uint64_t number) {
        const auto found = self->state.waiters.find(number);
        if (found == self->state.waiters.end())
          return;
        found->second.expired = true;
        if (!found->second.busy)
          answer(self, number, {});
      }),
      guarded([self](due_atom, const std::string& name) {
        const auto found = self->state.queues.find(name);
        if (found == self->state.queues.end() || !found->second.due
            || self->clock().now() < *found->second.due) // of a timer that an earlier one replaced
          return;
        found->second.due.reset();
        wake(self, name);
      }),
  };
}

} // namespace troupe
