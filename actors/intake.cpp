#include "actors/intake.hpp"

#include "actors/guard.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <numeric>

namespace troupe {

namespace {

using namespace std::chrono;
using self_ptr = intake_actor::stateful_pointer<intake_state>;
using caller = intake_state::caller;
using flight = intake_state::flight;
using line = intake_state::line;

void launch(self_ptr self, line& from);

/// Only a hint: SCHEDULER asks the database, whose clock decides.
milliseconds until_first(const std::vector<job_spec>& jobs) {
  milliseconds delay = limits::max_delay;
  const auto now = system_clock::now();
  for (const auto& job : jobs) {
    if (job.delay)
      delay = std::min(delay, *job.delay);
    if (job.run_at)
      delay = std::min(delay, ceil<milliseconds>(*job.run_at - now));
  }
  return std::max(delay, milliseconds{0});
}

std::size_t created(const enqueued_jobs& stored, const enqueue_jobs& asked) {
  if (asked.apart && stored.parts.size() == asked.parts.size()) {
    std::size_t all = 0;
    std::size_t first = 0;
    for (std::size_t i = 0; i < asked.parts.size(); ++i) {
      const auto from = stored.fates.begin() + static_cast<std::ptrdiff_t>(first);
      first += asked.parts[i].jobs;
      if (stored.parts[i].use != key_use::replayed)
        all += static_cast<std::size_t>(std::count(
            from, from + static_cast<std::ptrdiff_t>(asked.parts[i].jobs), enqueue_fate::created));
    }
    return all;
  }
  if (stored.use == key_use::replayed) // those were counted the first time
    return 0;
  return stored.fates.empty() ? stored.ids.size()
                              : static_cast<std::size_t>(std::count(
                                  stored.fates.begin(), stored.fates.end(), enqueue_fate::created));
}

/// What one caller hears: of his own jobs, `count` of them from `first` on.
enqueued_jobs share_of(const enqueued_jobs& stored, std::size_t index, std::size_t first,
                       std::size_t count) {
  const auto from = static_cast<std::ptrdiff_t>(first);
  const auto to = static_cast<std::ptrdiff_t>(first + count);
  enqueued_jobs own;
  own.ids.assign(stored.ids.begin() + from, stored.ids.begin() + to);
  own.created_at = stored.created_at;
  if (!stored.fates.empty())
    own.fates.assign(stored.fates.begin() + from, stored.fates.begin() + to);
  if (index < stored.parts.size()) {
    own.use = stored.parts[index].use;
    own.created_at = stored.parts[index].created_at;
  }
  return own;
}

std::string full_text(const std::string& queue) {
  return "queue \"" + queue + "\" is full: as many of its jobs wait as may";
}

void landed(self_ptr self, const flight& done, const enqueued_jobs& stored) {
  auto& peers = self->state.peers;
  for (const auto& queue : stored.ready_queues)
    self->send(peers.executor, wake_atom_v, queue);
  if (stored.deferred)
    self->send(peers.scheduler, due_atom_v, caf::timespan{until_first(done.all->jobs)});
  std::size_t first = 0;
  for (std::size_t i = 0; i < done.callers.size(); ++i) {
    const auto& one = done.callers[i];
    auto own = one.asked->apart ? stored : share_of(stored, i, first, one.asked->jobs.size());
    first += one.asked->jobs.size();
    peers.counters->jobs_enqueued += created(own, *one.asked);
    if (const auto without = first_without_room(own); without && !one.asked->apart)
      one.promise.deliver(make_error(errc::overloaded, full_text(one.asked->jobs[*without].queue)));
    else
      one.promise.deliver(std::move(own));
  }
}

/// True when the database said no to what was asked: nothing is stored, and asking for a part of it
/// may go well.
bool is_refusal(errc code) {
  return code == errc::invalid_argument || code == errc::conflict || code == errc::database
         || code == errc::too_large || code == errc::not_found || code == errc::retry;
}

/// In front of a line: they have waited already.
void wait_again(intake_state& state, line& in, std::vector<caller>& callers) {
  for (auto& one : callers)
    state.waiting_bytes += one.bytes;
  in.waiting.insert(in.waiting.begin(), std::make_move_iterator(callers.begin()),
                    std::make_move_iterator(callers.end()));
}

void failed(self_ptr self, line& from, flight& lost, const caf::error& why) {
  auto& state = self->state;
  const auto code = to_failure(why).code;
  if (lost.callers.size() > 1 && code == errc::overloaded && &from == &state.plain) {
    // A queue may be full. In that line it is said of each caller.
    wait_again(state, state.keyed, lost.callers);
    return launch(self, state.keyed);
  }
  if (lost.callers.size() == 1 || !is_refusal(code)) {
    for (auto& one : lost.callers)
      one.promise.deliver(why);
    return;
  }
  for (auto& one : lost.callers)
    one.alone = true;
  wait_again(state, from, lost.callers);
}

/// The jobs of all; those of a single caller without a copy.
enqueue_jobs_ptr put_together(const std::vector<caller>& callers, std::size_t jobs, bool apart) {
  if (callers.size() == 1)
    return callers.front().asked;
  auto all = std::make_shared<enqueue_jobs>();
  all->apart = apart;
  all->jobs.reserve(jobs);
  for (const auto& one : callers) {
    all->jobs.insert(all->jobs.end(), one.asked->jobs.begin(), one.asked->jobs.end());
    all->parts.push_back({one.asked->jobs.size(), one.asked->idempotency_key});
  }
  return all;
}

/// One statement cannot hold a key twice: the second use is answered from the first one's row.
bool holds_key(const flight& gathered, const std::string& key) {
  return !key.empty()
         && std::any_of(gathered.callers.begin(), gathered.callers.end(),
                        [&](const caller& one) { return one.asked->idempotency_key == key; });
}

std::shared_ptr<flight> gather(intake_state& state, line& from) {
  auto next = std::make_shared<flight>();
  std::size_t jobs = 0;
  std::size_t bytes = 0;
  while (!from.waiting.empty()) {
    auto& first = from.waiting.front();
    const bool fits = !first.alone && jobs + first.asked->jobs.size() <= state.options.flight_jobs
                      && bytes + first.bytes <= state.options.flight_bytes
                      && !holds_key(*next, first.asked->idempotency_key);
    if (!next->callers.empty() && (!fits || next->callers.back().alone))
      break;
    jobs += first.asked->jobs.size();
    bytes += first.bytes;
    next->callers.push_back(std::move(first));
    from.waiting.pop_front();
  }
  state.waiting_bytes -= bytes;
  next->all = put_together(next->callers, jobs, &from == &state.keyed);
  return next;
}

/// Takes the invitation up, if there is one for these jobs.
bool may_start_at_once(intake_state& state, const line& from, const std::vector<job_spec>& jobs) {
  if (&from != &state.plain || jobs.size() > intake_state::start_at_once)
    return false;
  const auto& queue = jobs.front().queue;
  return std::all_of(
             jobs.begin(), jobs.end(),
             [&](const job_spec& job) { return job.queue == queue && !job.run_at && !job.delay; })
         && state.invited.erase(queue) > 0;
}

void launch(self_ptr self, line& from) {
  auto& state = self->state;
  while (from.flights < state.options.max_flights && !from.waiting.empty()) {
    auto next = gather(state, from);
    ++from.flights;
    const auto arrived = [self, next, &from](const enqueued_jobs& stored) {
      --from.flights;
      landed(self, *next, stored);
      launch(self, from);
    };
    const auto lost = [self, next, &from](const caf::error& why) {
      --from.flights;
      failed(self, from, *next, why);
      launch(self, from);
    };
    if (may_start_at_once(state, from, next->all->jobs))
      self->request(state.peers.executor, caf::infinite, next->all).then(arrived, lost);
    else
      self->request(state.peers.store, caf::infinite, next->all).then(arrived, lost);
  }
}

bool is_keyed(const enqueue_jobs& asked) {
  return asked.apart || !asked.idempotency_key.empty()
         || std::any_of(asked.jobs.begin(), asked.jobs.end(),
                        [](const job_spec& job) { return job.unique.has_value(); });
}

caf::result<enqueued_jobs> take(self_ptr self, const enqueue_jobs_ptr& asked) {
  auto& state = self->state;
  const auto bytes =
      std::accumulate(asked->jobs.begin(), asked->jobs.end(), std::size_t{0},
                      [](std::size_t sum, const job_spec& job) { return sum + job.args.size(); });
  if (state.plain.waiting.size() + state.keyed.waiting.size() >= state.options.max_waiting
      || state.waiting_bytes + bytes > state.options.waiting_bytes)
    return make_error(errc::overloaded, "too many jobs wait to be stored");
  const kept_promise<enqueued_jobs> promise(self);
  state.waiting_bytes += bytes;
  auto& behind = is_keyed(*asked) ? state.keyed : state.plain;
  behind.waiting.push_back({asked, promise, bytes, asked->apart});
  launch(self, behind);
  return promise.result();
}

} // namespace

intake_actor::behavior_type intake(intake_actor::stateful_pointer<intake_state> self,
                                   intake_options options, intake_peers peers) {
  self->state.options = options;
  self->state.peers = std::move(peers);
  return {guarded([self](const enqueue_jobs_ptr& asked) { return take(self, asked); }),
          [self](wake_atom, const std::string& queue) { self->state.invited.insert(queue); }};
}

} // namespace troupe
