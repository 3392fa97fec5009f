#include "actors/runner.hpp"

#include "actors/guard.hpp"
#include "actors/run_span.hpp"

#include <caf/actor_cast.hpp>

#include <atomic>

namespace troupe {

namespace {

using self_ptr = runner_impl::stateful_pointer<runner_state>;

/// Where the handler's answer and the end of its start meet: an answer given while the handler is
/// still being started is taken on the spot and costs no message.
struct answer_cell {
  enum phase : int { starting, started, answered };
  std::atomic<int> phase{starting};
  job_result early;
};

job_report report_of(self_ptr self, std::optional<job_result> result) {
  auto& state = self->state;
  job_report out;
  out.runner = state.number;
  out.run = state.current;
  out.result = std::move(result);
  out.started = state.started;
  out.finished = self->clock().now();
  return out;
}

/// Its outcome goes with its effects: into the run's transaction, fenced by the lease.
void commit(self_ptr self, job_result result) {
  auto& state = self->state;
  finished_run ended;
  ended.lease = state.current.lease;
  ended.id = state.current.run->id;
  ended.attempt = state.current.run->attempt;
  ended.result = result;
  ended.started_ago =
      std::chrono::duration_cast<std::chrono::milliseconds>(self->clock().now() - state.started);
  state.committing = std::move(result);
  state.work->complete(
      {state.current.node, {std::move(ended)}, {}},
      [generation = state.generation,
       weak = caf::actor_cast<caf::weak_actor_ptr>(self->ctrl())](std::optional<failure> why) {
        if (auto strong = caf::actor_cast<runner_impl>(weak))
          caf::anon_send(strong, run_ended{std::move(why), generation});
      });
}

void close_work(runner_state& state) {
  if (state.work)
    state.work->close();
  state.work = nullptr;
}

/// Behind what the run has said: once its outcome is there, nothing of it is taken any more.
template<class Then>
void after_its_words(self_ptr self, Then then) {
  auto& state = self->state;
  if (!state.reporter || !state.reporter->spoke())
    return then();
  self->request(state.peers->logbook, caf::infinite, drain_atom_v)
      .then([then](bool) { then(); }, [then](const caf::error&) { then(); });
}

void conclude(self_ptr self, job_result result) {
  auto& state = self->state;
  if (state.work && state.work->opened() && !state.reported
      && result.kind == job_result::verdict::completed
      && result.result.size() <= limits::result_bytes)
    return commit(self, std::move(result));
  close_work(state);
  std::optional<job_result> outcome;
  if (!state.reported)
    outcome = std::move(result);
  auto told = report_of(self, std::move(outcome));
  told.stopped = state.stop_asked.has_value();
  self->send(state.executor, std::move(told));
  state.current = {};
}

void answered(self_ptr self, job_result result) {
  self->state.ending = true;
  auto kept = std::make_shared<job_result>(std::move(result));
  after_its_words(self, [self, kept] {
    self->state.ending = false;
    conclude(self, std::move(*kept));
  });
}

/// There will be a tick at this time or before.
void wake_by(self_ptr self, std::chrono::steady_clock::time_point when) {
  auto& timers = self->state.timers;
  if (!timers.empty() && *timers.begin() <= when)
    return;
  timers.insert(when);
  self->delayed_send(self, when - self->clock().now(), tick_atom_v);
}

/// The outcome, while the handler goes on.
void end_without_it(self_ptr self, const std::string& why, bool stuck) {
  auto& state = self->state;
  std::optional<job_result> outcome;
  if (!std::exchange(state.reported, true))
    outcome = failed(why);
  auto told = report_of(self, std::move(outcome));
  told.idle = false;
  told.stuck = stuck;
  close_work(state);
  auto kept = std::make_shared<job_report>(std::move(told));
  after_its_words(self, [self, kept] { self->send(self->state.executor, std::move(*kept)); });
}

void ask_to_stop(self_ptr self) {
  auto& state = self->state;
  if (!state.current.run || state.stop_asked)
    return;
  state.stop_asked = self->clock().now();
  wake_by(self, *state.stop_asked + state.stuck_after);
  state.stop.request_stop();
}

/// Of the two times that a run has, the deadline and the end of our patience.
void look_at_time(self_ptr self) {
  auto& state = self->state;
  const auto& run = state.current.run;
  if (!run || state.ending || state.committing || state.given_up.stop_requested())
    return;
  const auto now = self->clock().now();
  const auto text = [](std::chrono::milliseconds time) {
    return std::to_string(time.count()) + " ms";
  };
  if (state.stop_asked) {
    if (now < *state.stop_asked + state.stuck_after)
      return wake_by(self, *state.stop_asked + state.stuck_after);
    log::warn("runner", "job " + std::to_string(run->id.value) + " (" + run->kind
                            + ") goes on though it was asked to stop; its slot is given to others"
                            + (run->traceparent.empty() ? "" : ", trace " + run->traceparent));
    end_without_it(self, "it did not stop within " + text(state.stuck_after) + " of being asked to",
                   true);
    state.given_up.request_stop();
  } else if (run->timeout) {
    if (now < state.started + *run->timeout)
      return wake_by(self, state.started + *run->timeout);
    end_without_it(self, "timed out after " + text(*run->timeout), false);
    ask_to_stop(self);
  }
}

void take(runner_state& state, assignment given) {
  ++state.generation;
  state.current = std::move(given);
  state.stop = std::stop_source{};
  state.given_up = std::stop_source{};
  state.stop_asked.reset();
  state.current.run->stop = state.stop.get_token();
  state.current.run->given_up = state.given_up.get_token();
  state.reported = false;
  state.committing.reset();
  state.ending = false;
  state.reporter = nullptr;
}

void start(self_ptr self, const async_handler& handler) {
  auto& state = self->state;
  auto cell = std::make_shared<answer_cell>();
  const auto generation = state.generation;
  completion done{[cell, generation,
                   weak = caf::actor_cast<caf::weak_actor_ptr>(self->ctrl())](job_result result) {
    cell->early = std::move(result);
    int expected = answer_cell::starting;
    if (cell->phase.compare_exchange_strong(expected, answer_cell::answered))
      return;
    if (auto strong = caf::actor_cast<runner_impl>(weak))
      caf::anon_send(strong, std::move(cell->early), generation);
  }};
  try {
    handler(state.current.run, done);
  } catch (const std::exception& e) {
    done(failed(e.what()));
  } catch (...) {
    done(failed("the handler threw something that is not a std::exception"));
  }
  int expected = answer_cell::starting;
  if (!cell->phase.compare_exchange_strong(expected, answer_cell::started))
    answered(self, std::move(cell->early));
}

} // namespace

runner_impl::behavior_type runner(runner_impl::stateful_pointer<runner_state> self,
                                  std::size_t number, job_reports_actor executor,
                                  handler_table_ptr handlers,
                                  std::shared_ptr<const work_peers> peers,
                                  std::chrono::milliseconds stuck_after) {
  self->state.number = number;
  self->state.executor = std::move(executor);
  self->state.handlers = std::move(handlers);
  self->state.peers = std::move(peers);
  self->state.stuck_after = stuck_after;
  return {
      [self](assignment& given) {
        auto& state = self->state;
        take(state, std::move(given));
        state.started = self->clock().now();
        if (state.peers && state.peers->logbook) {
          auto& run = *state.current.run;
          state.reporter = std::make_shared<run_reporter>(
              run_key{state.current.lease, run.id, run.attempt}, state.peers->logbook);
          run.listener = state.reporter;
        }
        if (state.peers) {
          state.work = std::make_shared<run_work>(self->home_system(), state.peers);
          state.current.run->work = state.work;
          if (state.peers->spans != nullptr)
            begin_span(state.current, state.peers->spans->sample_ratio());
        }
        auto& run = *state.current.run;
        const auto kind = state.handlers->find(run.kind);
        if (kind == state.handlers->end())
          return answered(self, failed("no handler for kind '" + run.kind + "' on this node"));
        if (!run.timeout)
          run.timeout = kind->second.options.timeout;
        if (run.timeout)
          wake_by(self, state.started + *run.timeout);
        start(self, kind->second.start);
      },
      [self](cancel_atom) { ask_to_stop(self); },
      [self](job_result& result, std::uint64_t generation) {
        if (generation == self->state.generation && self->state.current.run)
          answered(self, std::move(result));
      },
      [self](run_ended& how) {
        auto& state = self->state;
        if (how.generation != state.generation || !state.committing)
          return;
        auto result = *std::exchange(state.committing, std::nullopt);
        close_work(state);
        if (how.why)
          result = failed("its transaction was not committed: " + to_string(how.why->code)
                          + (how.why->detail.empty() ? "" : ": " + how.why->detail));
        auto told = report_of(self, std::move(result));
        told.written = !how.why;
        self->send(state.executor, std::move(told));
        state.current = {};
      },
      [self](tick_atom) {
        self->state.timers.erase(self->state.timers.begin());
        look_at_time(self);
      },
  };
}

} // namespace troupe
