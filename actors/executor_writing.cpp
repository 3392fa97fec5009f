#include "actors/executor_writing.hpp"

#include "actors/guard.hpp"
#include "actors/run_span.hpp"
#include "messages/utf8.hpp"

#include <array>
#include <cstdio>
#include <unordered_set>

namespace troupe {

namespace {

using self_ptr = executor_impl::stateful_pointer<executor_state>;
using ended_run = executor_state::ended_run;
using batch_ptr = std::shared_ptr<std::vector<ended_run>>;

/// Runs in one statement; more wait for the next.
constexpr std::size_t max_batch = 5000;
constexpr backoff rewrite_pause{std::chrono::milliseconds{100}, std::chrono::milliseconds{5000}};

/// True when the database has judged the batch itself, so that sending it again is in vain.
bool is_refusal(errc code) {
  switch (code) {
  case errc::invalid_argument:
  case errc::database:
  case errc::conflict:
  case errc::not_found:
  case errc::fenced:
  case errc::internal:
  case errc::aborted:
  case errc::stale:
  case errc::too_large:
  case errc::none:
    return true;
  case errc::overloaded:
  case errc::unavailable:
  case errc::outcome_unknown:
  case errc::timed_out:
  case errc::retry:
  case errc::stopping:
    break;
  }
  return false;
}

std::chrono::milliseconds ago(std::chrono::steady_clock::time_point now,
                              std::chrono::steady_clock::time_point then) {
  return std::max(std::chrono::milliseconds{0},
                  std::chrono::duration_cast<std::chrono::milliseconds>(now - then));
}

void settled(const std::vector<ended_run>& batch) {
  for (const auto& one : batch)
    --one.queue->unwritten;
}

run_end count(executor_state& state, const ended_run& one) {
  switch (one.run.result.kind) {
  case job_result::verdict::completed:
    ++state.counters->attempts_completed;
    return run_end::completed;
  case job_result::verdict::failed:
    ++state.counters->attempts_failed;
    return run_end::retried;
  case job_result::verdict::discarded:
    ++state.counters->attempts_discarded;
    return run_end::discarded;
  case job_result::verdict::snoozed:
    break;
  }
  ++state.counters->attempts_snoozed;
  return run_end::snoozed;
}

using spans = std::vector<span>;

void count_run(executor_state& state, ended_run& one, run_end how, spans& made) {
  if (one.series != nullptr)
    one.series->ended(how, one.finished - one.started);
  if (const auto traced = std::exchange(one.traced, nullptr)) {
    --state.traced;
    conclude_span(*traced, how);
    made.push_back(std::move(*traced));
  }
}

span_sink* sink_of(const executor_state& state) {
  return state.options.work ? state.options.work->spans : nullptr;
}

void export_spans(const executor_state& state, spans made) {
  if (!made.empty())
    sink_of(state)->add(std::move(made));
}

/// Null when nobody wants one, or there is no room for it among those that are not exported yet.
std::shared_ptr<span> span_with_room(const executor_state& state, const job_report& told,
                                     const job_result& result) {
  auto* sink = sink_of(state);
  if (sink == nullptr || !told.ran || !is_sampled(told.run.run->traceparent))
    return nullptr;
  if (state.traced < sink->room())
    return span_of_run(told, result);
  sink->lose(1);
  return nullptr;
}

/// Of a run whose outcome is not ours to write.
void export_span(const executor_state& state, const job_report& told, run_end how) {
  const auto made = span_with_room(state, told, *told.result);
  if (!made)
    return;
  conclude_span(*made, how);
  export_spans(state, {std::move(*made)});
}

void log_run(const job_report& told) {
  if (!log::enabled(log::level::debug))
    return;
  constexpr std::array words{"completed", "failed", "discarded", "snoozed"};
  const auto& run = *told.run.run;
  const std::chrono::duration<double, std::milli> took = told.finished - told.started;
  std::array<char, 32> figure{};
  std::snprintf(figure.data(), figure.size(), "%.2f", took.count());
  std::string line = "job " + std::to_string(run.id.value) + " (" + run.kind + ") of " + run.queue
                     + ", attempt " + std::to_string(run.attempt) + ": "
                     + words.at(static_cast<std::size_t>(told.result->kind)) + " in "
                     + figure.data() + " ms";
  if (!told.result->error.empty())
    line += ": " + std::string{cut_utf8(told.result->error, 200)};
  if (!run.traceparent.empty())
    line += ", trace " + run.traceparent;
  log::debug("run", line);
}

/// What became of each run of a batch that was answered.
void tally(executor_state& state, std::vector<ended_run>& batch, const finished_runs& answer) {
  const std::unordered_set<job_id> fenced{answer.fenced.begin(), answer.fenced.end()};
  std::size_t expected = 0; // to be fenced: their outcome was written by whoever cancelled them
  spans made;
  for (auto& one : batch) {
    if (one.cancelled)
      ++expected;
    const bool late = !fenced.empty() && fenced.contains(one.run.id);
    const auto how = one.cancelled ? run_end::cancelled
                     : late        ? run_end::fenced
                                   : count(state, one);
    count_run(state, one, how, made);
  }
  export_spans(state, std::move(made));
  state.counters->attempts_fenced +=
      answer.fenced.size() - std::min(expected, answer.fenced.size());
  settled(batch);
}

/// Nobody writes these any more: whoever rescues their lease runs the jobs again.
void lose(executor_state& state, std::vector<ended_run>& batch) {
  spans made;
  state.counters->attempts_fenced += batch.size();
  for (auto& one : batch)
    count_run(state, one, run_end::fenced, made);
  export_spans(state, std::move(made));
  settled(batch);
}

void written(self_ptr self, std::vector<ended_run>& batch, const std::vector<lease_id>& done,
             const finished_runs& answer) {
  auto& state = self->state;
  state.writing = false;
  state.write_failures = 0;
  state.leases.closed(done);
  for (const auto& one : batch)
    one.queue->hungry = one.queue->hungry || one.queue->keyed;
  tally(state, batch, answer);
  if (answer.deferred && state.scheduler) {
    std::chrono::milliseconds soonest = limits::max_delay;
    for (const auto& one : batch)
      if (one.run.result.kind != job_result::verdict::completed)
        soonest = std::min(soonest, one.run.retry_in);
    self->send(state.scheduler, due_atom_v, caf::timespan{soonest});
  }
}

/// The one run that the database refuses: its result or error text cannot be stored. A failure
/// stays one, so that it is tried again; what it said is lost.
void replace_result(ended_run& one, const failure& why) {
  auto& result = one.run.result;
  const auto kind = result.kind;
  result = discarded("what it answered was refused by the database: " + to_string(why.code) + " "
                     + why.detail);
  if (kind == job_result::verdict::failed)
    result.kind = kind;
  one.replaced = true;
}

void refused(self_ptr self, const batch_ptr& batch, const failure& why) {
  auto& state = self->state;
  state.writing = false;
  if (batch->size() > 1) {
    const auto middle = batch->begin() + static_cast<std::ptrdiff_t>(batch->size() / 2);
    state.parts.emplace_front(std::make_move_iterator(middle),
                              std::make_move_iterator(batch->end()));
    state.parts.emplace_front(std::make_move_iterator(batch->begin()),
                              std::make_move_iterator(middle));
  } else if (!batch->empty() && !batch->front().replaced) {
    log::warn("executor", "outcome of job " + std::to_string(batch->front().run.id.value)
                              + " refused: " + why.detail);
    replace_result(batch->front(), why);
    state.parts.push_front(std::move(*batch));
  } else {
    log::error("executor", "an outcome cannot be written: " + why.detail);
    for (const auto& one : *batch)
      state.leases.keep(one.run.lease);
    lose(state, *batch);
  }
}

/// Of each limited queue what we need no more; `found` hears of it.
template<class Found>
void find_surplus(executor_state& state, Found found) {
  for (const auto& name : state.limited) {
    auto& queue = state.queues.at(name);
    if (queue.claiming)
      continue;
    const bool more = queue.hungry && state.starts();
    if (const auto keep = queue.permits.surplus(queue.running, queue.at_hand(), more))
      found(name, queue, *keep);
  }
}

bool has_surplus(executor_state& state) {
  bool any = false;
  find_surplus(state, [&](const std::string&, auto&, run_permits) { any = true; });
  return any;
}

std::vector<permits_kept> give_surplus(executor_state& state) {
  std::vector<permits_kept> keep;
  find_surplus(state, [&](const std::string& name, auto& queue, run_permits kept) {
    queue.permits.give(kept.count);
    keep.push_back({name, kept});
  });
  return keep;
}

void surplus_unanswered(executor_state& state, const std::vector<permits_kept>& keep) {
  for (const auto& one : keep)
    state.queues.at(one.queue).permits.unanswered();
}

void send_batch(self_ptr self, std::vector<ended_run> ended) {
  auto& state = self->state;
  state.writing = true;
  auto batch = std::make_shared<std::vector<ended_run>>(std::move(ended));
  finish_runs ask;
  ask.node = state.node;
  const auto now = self->clock().now();
  ask.runs.reserve(batch->size());
  for (auto& one : *batch) {
    one.run.started_ago = ago(now, one.started);
    one.run.finished_ago = ago(now, one.finished);
    ask.runs.push_back(one.run);
  }
  // Only with the last part of a refused batch: a lease must not go before its outcomes.
  if (state.parts.empty() && state.ended.empty())
    ask.done = state.leases.take_done();
  ask.keep = give_surplus(state);
  const auto done = ask.done;
  const auto keep = ask.keep;
  self->request(state.store, caf::infinite, std::move(ask))
      .then(
          [self, batch, done, keep, node = state.node](const finished_runs& answer) {
            if (node != self->state.node) { // of an earlier life
              tally(self->state, *batch, answer);
              return check_drained(self);
            }
            for (std::size_t i = 0; i < keep.size(); ++i)
              self->state.queues.at(keep[i].queue).permits.given(answer.permits.at(i));
            written(self, *batch, done, answer);
            write_outcomes(self);
            claim_where_room(self);
            check_drained(self);
          },
          [self, batch, done, keep, node = state.node](caf::error& error) {
            auto& later = self->state;
            if (node != later.node) {
              lose(later, *batch);
              return check_drained(self);
            }
            surplus_unanswered(later, keep);
            for (const auto lease : done) { // to be closed by the next batch instead
              later.leases.opened(lease, 1);
              later.leases.ended(lease);
            }
            const auto why = to_failure(error);
            if (is_refusal(why.code) && !batch->empty()) {
              refused(self, batch, why);
              write_outcomes(self);
              return check_drained(self);
            }
            later.writing = false;
            later.resting = true;
            later.parts.push_front(std::move(*batch));
            self->delayed_send(self,
                               rewrite_pause.after(++later.write_failures,
                                                   static_cast<std::uint32_t>(later.random())),
                               tick_atom_v);
          });
}

} // namespace

void note_ended(executor_state& state, job_report& told, executor_state::queue_state& queue,
                bool cancelled) {
  const auto& run = *told.run.run;
  if (told.ran)
    log_run(told);
  auto* series = told.ran ? &state.counters->runs.of(run.queue, run.kind) : nullptr;
  if (told.written) { // only its lease is left to be closed
    static_cast<void>(state.leases.ended(told.run.lease));
    ++state.counters->attempts_completed;
    if (series != nullptr)
      series->ended(run_end::completed, told.finished - told.started);
    export_span(state, told, run_end::completed);
    return;
  }
  if (!state.leases.ended(told.run.lease)) {
    if (!cancelled)
      ++state.counters->attempts_fenced;
    const auto how = cancelled ? run_end::cancelled : run_end::fenced;
    if (series != nullptr)
      series->ended(how, told.finished - told.started);
    export_span(state, told, how);
    return;
  }
  // One that was cancelled is written like any other, and fenced: were the hint wrong and nothing
  // written, the job would be gone with its lease.
  ended_run out;
  out.cancelled = cancelled;
  out.run.lease = told.run.lease;
  out.run.id = told.run.run->id;
  out.run.attempt = told.run.run->attempt;
  out.run.result = std::move(*told.result);
  out.run.result.error.resize(cut_utf8(out.run.result.error, limits::error_bytes).size());
  if (out.run.result.result.size() > limits::result_bytes)
    out.run.result =
        discarded("its result is larger than " + std::to_string(limits::result_bytes) + " bytes");
  auto& result = out.run.result;
  if (result.kind == job_result::verdict::failed && !result.retry_in) {
    static const kind_options usual;
    const auto kind = state.handlers->find(told.run.run->kind);
    const auto& how = kind == state.handlers->end() ? usual : kind->second.options;
    const auto& own = told.run.run->retry;
    result.retry_in =
        (own ? *own : how.retry).after(out.run.attempt, static_cast<std::uint32_t>(state.random()));
    if (!result.retry_in)
      result.kind = job_result::verdict::discarded;
  }
  out.run.retry_in =
      std::clamp(result.retry_in.value_or(std::chrono::milliseconds{0}),
                 std::chrono::milliseconds{0}, std::chrono::milliseconds{limits::max_delay});
  out.queue = &queue;
  out.series = series;
  out.started = told.started;
  out.finished = told.finished;
  out.traced = span_with_room(state, told, result);
  state.traced += out.traced ? 1 : 0;
  ++queue.unwritten;
  state.ended.push_back(std::move(out));
}

void write_outcomes(self_ptr self) {
  auto& state = self->state;
  if (state.writing || state.resting || state.node.value == 0)
    return;
  std::vector<ended_run> batch;
  if (!state.parts.empty()) {
    batch = std::move(state.parts.front());
    state.parts.pop_front();
  } else if (state.ended.size() > max_batch) {
    const auto end = state.ended.begin() + static_cast<std::ptrdiff_t>(max_batch);
    batch.assign(std::make_move_iterator(state.ended.begin()), std::make_move_iterator(end));
    state.ended.erase(state.ended.begin(), end);
  } else if (!state.ended.empty() || state.leases.has_done() || has_surplus(state)) {
    batch.swap(state.ended);
  } else {
    return;
  }
  send_batch(self, std::move(batch));
}

void drop_unwritten(executor_state& state) {
  lose(state, state.ended);
  for (auto& part : state.parts)
    lose(state, part);
  state.ended.clear();
  state.parts.clear();
  state.writing = false;
  state.resting = false;
}

void check_drained(self_ptr self) {
  auto& state = self->state;
  if (!state.draining || state.counters->running.load() > 0 || !state.claims.empty()
      || state.adoptions > 0 || state.announced > 0 || state.writing || !state.ended.empty()
      || !state.parts.empty() || state.leases.has_done())
    return;
  for (auto& promise : state.drained)
    promise.deliver(caf::unit);
  state.drained.clear();
}

} // namespace troupe
