#include "actors/health_monitor.hpp"

#include "actors/guard.hpp"

#include <algorithm>

namespace troupe {

namespace {

using self_ptr = health_monitor_actor::stateful_pointer<health_monitor_state>;
using namespace std::chrono;

milliseconds pause_after(const health_monitor_options& options, health_status status) {
  switch (status) {
  case health_status::ok:
    return options.calm_interval;
  case health_status::degraded:
    return options.wary_interval;
  case health_status::failing:
    break;
  }
  return options.tense_interval;
}

void publish(self_ptr self) {
  auto& state = self->state;
  const auto& limits = state.options.limits;
  const auto now = self->clock().now();
  health_report report;
  report.checks.push_back(state.database);
  report.checks.push_back(state.pool.check(limits, *state.counters, *state.metrics));
  report.checks.insert(report.checks.end(), state.said.begin(), state.said.end());
  report.checks.push_back(state.heartbeat.check(limits, *state.counters, now));
  report.checks.push_back(state.executor.check(limits, *state.counters, now));
  if (limits.listens)
    report.checks.push_back(check_notifier(*state.counters));
  if (state.options.disk)
    report.checks.push_back(check_disk(limits, state.options.disk()));
  if (state.options.certificate)
    report.checks.push_back(state.options.certificate());
  report.status = health_status::ok;
  for (const auto& check : report.checks)
    report.status = std::max(report.status, check.status);
  report.ready = report.status != health_status::failing;
  report.taken_at = steady_clock::now();
  if (report.ready != state.was_ready)
    log::info("health monitor", report.ready ? "ready" : "not ready");
  state.was_ready = report.ready;
  if (!state.ticking) {
    state.ticking = true;
    self->delayed_send(self, pause_after(state.options, report.status), tick_atom_v);
  }
  state.board->publish(std::move(report));
}

/// Judges what the database says of itself; it stays on the board until the next answer.
void judge(self_ptr self, const database_probe& probe, microseconds latency) {
  auto& state = self->state;
  const auto& limits = state.options.limits;
  const auto here = time_point_cast<microseconds>(system_clock::now());
  state.database = check_round_trip(limits, latency);
  state.said = {check_replication(probe), check_migrations(limits, probe), check_durability(probe),
                check_clock(limits, probe, here, latency), check_scheduler(limits, probe)};
  for (auto& check : state.said)
    check.taken_at = steady_clock::now();
}

void tell_late(self_ptr self) {
  auto& state = self->state;
  const auto waited = duration_cast<microseconds>(self->clock().now() - *state.asked_at);
  state.database = {"database", health_status::failing, waited,
                    "no answer for " + std::to_string(waited.count() / 1000) + " ms"};
  publish(self);
}

void ask(self_ptr self) {
  auto& state = self->state;
  state.asked_at = self->clock().now();
  self->delayed_send(self, state.options.patience, tick_atom_v, ++state.questions);
  const auto took = [self] {
    const auto latency = duration_cast<microseconds>(self->clock().now() - *self->state.asked_at);
    self->state.asked_at.reset();
    return latency;
  };
  self->request(state.store, caf::infinite, probe_database{})
      .then(
          [self, took](const database_probe& probe) {
            judge(self, probe, took());
            publish(self);
          },
          [self, took](caf::error& error) {
            self->state.database = {"database", health_status::failing, took(),
                                    to_failure(error).detail};
            publish(self);
          });
}

} // namespace

health_monitor_actor::behavior_type
health_monitor(health_monitor_actor::stateful_pointer<health_monitor_state> self,
               health_monitor_options options, store_actor store, const engine_counters* counters,
               const database_metrics* metrics, std::shared_ptr<health_board> board) {
  static const database_metrics unmeasured;
  auto& state = self->state;
  state.options = std::move(options);
  state.store = std::move(store);
  state.counters = counters;
  state.metrics = metrics != nullptr ? metrics : &unmeasured;
  state.board = std::move(board);
  state.ticking = true;
  self->send(self, tick_atom_v);
  return {
      [self](tick_atom) {
        self->state.ticking = false;
        if (self->state.asked_at)
          tell_late(self);
        else
          ask(self);
      },
      [self](tick_atom, std::uint64_t question) {
        if (self->state.asked_at && self->state.questions == question)
          tell_late(self);
      },
  };
}

} // namespace troupe
