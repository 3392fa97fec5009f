#include "actors/executor_claiming.hpp"

#include "actors/executor_writing.hpp"
#include "actors/statement.hpp"
#include "messages/log.hpp"

namespace troupe {

namespace {

using self_ptr = executor_impl::stateful_pointer<executor_state>;
using queue_state = executor_state::queue_state;

void take_in(self_ptr self, claimed_jobs& claimed) {
  auto& state = self->state;
  state.leases.opened(claimed.lease, claimed.jobs.size());
  state.counters->jobs_claimed += claimed.jobs.size();
  state.counters->backlog += claimed.jobs.size();
  for (auto& run : claimed.jobs) {
    auto* queue = queue_of(state, run->queue);
    if (queue == nullptr) { // adopted from a life with other queues: stays in its lease
      state.leases.keep(claimed.lease);
      --state.counters->backlog;
      continue;
    }
    queue->backlog.push_back({std::move(run), claimed.lease});
  }
}

/// As a claim says.
void note_permits(executor_state& state, const std::string& name, queue_state& queue,
                  const std::optional<run_permits>& now) {
  queue.permits.told(now);
  if (now)
    state.limited.insert(name);
  else
    state.limited.erase(name);
}

/// Timers cannot be taken back: the earliest counts.
void claim_later(self_ptr self, const std::string& name, queue_state& queue,
                 std::chrono::milliseconds wait) {
  const auto at = self->clock().now() + wait;
  if (queue.due && *queue.due <= at)
    return;
  queue.due = at;
  self->delayed_send(self, wait, due_atom_v, name);
}

bool may_start_at_once(const executor_state& state, const queue_state& queue, std::size_t jobs) {
  return state.node.value != 0 && state.starts() && queue.emptied && !queue.hungry
         && !queue.claiming && queue.held() + static_cast<int>(jobs) <= queue.limits.slots();
}

int claim_limit(const queue_state& queue) {
  const auto& permits = queue.permits;
  if (queue.rated)
    return queue.limits.claim_at_once(queue.held(), permits.allowed(), permits.cap());
  const bool binds =
      permits.limited() && std::min(permits.allowed(), permits.cap()) < queue.limits.slots();
  if (binds || (queue.keyed && !queue.plenty))
    return queue.limits.claim_limit(queue.held(), permits.allowed(), permits.cap());
  return queue.limits.claim_limit_beside(queue.at_hand(), queue.unwritten);
}

/// Nothing is left of this queue that we could take: to be woken costs less than to look.
void rest(self_ptr self, const std::string& name, queue_state& queue) {
  if (self->state.notifier && !queue.claiming && !queue.hungry && !queue.due)
    self->send(self->state.notifier, idle_atom_v, name, std::exchange(queue.fruitful, false));
}

void adopt(self_ptr self, lease_id lease) {
  auto& state = self->state;
  log::info("executor", "adopting lease " + std::to_string(lease.value));
  state.leases.opened(lease, 0);
  ++state.adoptions;
  self->request(state.store, caf::infinite, adopt_lease{state.node, lease})
      .then(
          [self, lease, node = state.node](claimed_jobs& claimed) {
            auto& now = self->state;
            --now.adoptions;
            if (node == now.node && claimed.jobs.empty()) {
              now.leases.opened(lease, 1);
              now.leases.ended(lease);
              write_outcomes(self);
            } else if (node == now.node) {
              const auto name = claimed.jobs.front()->queue;
              if (auto* queue = queue_of(now, name); queue != nullptr && claimed.permits)
                note_permits(now, name, *queue, claimed.permits);
              take_in(self, claimed);
              for (auto& [each, queue] : now.queues)
                start_backlog(self, queue);
            }
            check_drained(self);
          },
          [self, lease, node = state.node](caf::error&) { // the next pulses name it again
            --self->state.adoptions;
            if (node == self->state.node)
              self->state.leases.closed({lease});
            check_drained(self);
          });
}

} // namespace

queue_state* queue_of(executor_state& state, const std::string& name) {
  auto found = state.queues.find(name);
  if (found != state.queues.end())
    return &found->second;
  if (state.queues.size() >= executor_state::max_queues) {
    log::warn("executor", "too many queues; left to other nodes: " + name);
    return nullptr;
  }
  const auto named = state.options.queues.find(name);
  const int slots =
      named != state.options.queues.end() ? named->second : state.options.default_slots;
  state.counters->slots += static_cast<std::uint64_t>(slots);
  return &state.queues.emplace(name, queue_state{slots, state.options.prefetch}).first->second;
}

void invite(self_ptr self, const std::string& name, queue_state& queue) {
  auto& state = self->state;
  if (queue.invited || !state.intake || !may_start_at_once(state, queue, 1))
    return;
  queue.invited = true;
  self->send(state.intake, wake_atom_v, name);
}

caf::result<enqueued_jobs> store_and_start(self_ptr self, const enqueue_jobs_ptr& asked) {
  auto& state = self->state;
  const auto found = state.queues.find(asked->jobs.front().queue);
  if (found == state.queues.end() || !may_start_at_once(state, found->second, asked->jobs.size())) {
    if (found != state.queues.end())
      found->second.invited = false;
    return self->delegate(state.store, asked);
  }
  const kept_promise<enqueued_jobs> promise(self);
  state.claims.insert(++state.last_claim);
  self->request(state.store, caf::infinite, enqueue_here{state.node, asked})
      .then(
          [self, promise, &name = found->first, &queue = found->second, node = state.node,
           number = state.last_claim](enqueued_here& done) {
            auto& now = self->state;
            now.claims.erase(number);
            queue.invited = false;
            queue.emptied = queue.emptied && !done.claimed.jobs.empty();
            if (node == now.node && !done.claimed.jobs.empty()) {
              take_in(self, done.claimed);
              start_backlog(self, queue);
            }
            promise.deliver(std::move(done.stored));
            invite(self, name, queue);
            check_drained(self);
          },
          [self, promise, &queue = found->second, number = state.last_claim](caf::error& why) {
            // What may have been stored is adopted with a lease that the pulse names.
            self->state.claims.erase(number);
            queue.invited = false;
            promise.deliver(std::move(why));
            check_drained(self);
          });
  return promise.result();
}

void claim(self_ptr self, const std::string& name, queue_state& queue) {
  auto& state = self->state;
  if (state.node.value == 0 || !state.starts() || queue.claiming || !queue.hungry
      || queue.permits.giving())
    return;
  const int limit = claim_limit(queue);
  if (limit == 0)
    return;
  const int slots = std::min(queue.limits.slots(), queue.permits.cap());
  queue.claiming = true;
  queue.hungry = false; // a wake that comes meanwhile sets it again
  state.claims.insert(++state.last_claim);
  self->request(state.store, caf::infinite,
                claim_jobs{state.node, name, limit, slots, queue.held()})
      .then(
          [self, &queue, &name, node = state.node,
           number = state.last_claim](claimed_jobs& claimed) {
            auto& now = self->state;
            queue.claiming = false;
            now.claims.erase(number);
            // Of an earlier life: its rescuer has the lease.
            if (node == now.node && !claimed.jobs.empty()) {
              queue.fruitful = true;
              // One claim empties one lane at most, but of an ordered queue there is no more now.
              queue.hungry = queue.hungry || claimed.again.value_or(true);
              note_permits(now, name, queue, claimed.permits);
              take_in(self, claimed);
              start_backlog(self, queue);
            }
            queue.rated = claimed.wait.has_value();
            queue.keyed = claimed.again.has_value();
            queue.plenty = static_cast<int>(claimed.jobs.size()) > queue.limits.slots();
            queue.emptied =
                claimed.jobs.empty() && !queue.rated && !queue.keyed && !queue.permits.limited();
            queue.hungry = queue.hungry || claimed.again.value_or(false);
            if (claimed.wait && claimed.wait->count() > 0)
              claim_later(self, name, queue, *claimed.wait);
            claim(self, name, queue);
            if (!queue.claiming)
              write_outcomes(self); // permits that we have no use for
            invite(self, name, queue);
            if (claimed.jobs.empty())
              rest(self, name, queue);
            check_drained(self);
          },
          [self, &queue, number = state.last_claim](caf::error& error) {
            queue.claiming = false;
            self->state.claims.erase(number);
            // The next pulse names the queue again if it still has work.
            log::debug("executor", "claim failed: " + to_failure(error).detail);
            check_drained(self);
          });
}

/// A claim whose answer was lost leaves a lease that nobody works on: one that a second pulse names
/// when all claims that were on their way at the first have been answered.
void adopt_lost(self_ptr self, const std::vector<lease_id>& stored) {
  auto& state = self->state;
  std::unordered_map<lease_id, std::uint64_t> suspects;
  for (const auto lease : state.leases.unknown(stored)) {
    const auto before = state.suspects.find(lease);
    if (before == state.suspects.end())
      suspects.emplace(lease, state.last_claim);
    else if (!state.claims.empty() && *state.claims.begin() <= before->second)
      suspects.insert(*before);
    else
      adopt(self, lease);
  }
  state.suspects = std::move(suspects);
}

void claim_where_room(self_ptr self) {
  for (auto& [name, queue] : self->state.queues)
    claim(self, name, queue);
}

} // namespace troupe
