#include "actors/runner.hpp"

#include "actors/guard.hpp"

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

void report(self_ptr self, std::optional<job_result> result, bool idle, bool written = false) {
  auto& state = self->state;
  job_report out;
  out.runner = state.number;
  out.run = state.current;
  out.result = std::move(result);
  out.idle = idle;
  out.written = written;
  out.started = state.started;
  out.finished = self->clock().now();
  self->send(state.executor, std::move(out));
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

void answered(self_ptr self, job_result result) {
  auto& state = self->state;
  if (state.work && state.work->opened() && !state.reported
      && result.kind == job_result::verdict::completed
      && result.result.size() <= limits::result_bytes)
    return commit(self, std::move(result));
  close_work(state);
  if (state.reported)
    report(self, std::nullopt, true);
  else
    report(self, std::move(result), true);
  state.current = {};
}

/// There will be a tick at this time or before.
void wake_by(self_ptr self, std::chrono::steady_clock::time_point when) {
  auto& timers = self->state.timers;
  if (!timers.empty() && *timers.begin() <= when)
    return;
  timers.insert(when);
  self->delayed_send(self, when - self->clock().now(), tick_atom_v);
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
                                  std::shared_ptr<const work_peers> peers) {
  self->state.number = number;
  self->state.executor = std::move(executor);
  self->state.handlers = std::move(handlers);
  self->state.peers = std::move(peers);
  return {
      [self](assignment& given) {
        auto& state = self->state;
        ++state.generation;
        state.current = std::move(given);
        state.stop = std::stop_source{};
        state.current.run->stop = state.stop.get_token();
        state.started = self->clock().now();
        state.reported = false;
        state.committing.reset();
        if (state.peers) {
          state.work = std::make_shared<run_work>(self->home_system(), state.peers);
          state.current.run->work = state.work;
        }
        const auto handler = state.handlers->find(state.current.run->kind);
        if (handler == state.handlers->end())
          return answered(
              self, failed("no handler for kind '" + state.current.run->kind + "' on this node"));
        if (state.current.run->timeout)
          wake_by(self, state.started + *state.current.run->timeout);
        start(self, handler->second);
      },
      [self](cancel_atom) { self->state.stop.request_stop(); },
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
        report(self, std::move(result), true, !how.why);
        state.current = {};
      },
      [self](tick_atom) {
        auto& state = self->state;
        state.timers.erase(state.timers.begin());
        const auto& run = state.current.run;
        if (!run || !run->timeout || state.reported || state.committing)
          return;
        const auto deadline = state.started + *run->timeout;
        if (self->clock().now() < deadline)
          return wake_by(self, deadline);
        report(self, failed("timed out after " + std::to_string(run->timeout->count()) + " ms"),
               false);
        state.reported = true;
        close_work(state);
        state.stop.request_stop();
      },
  };
}

} // namespace troupe
