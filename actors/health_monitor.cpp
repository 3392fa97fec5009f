#include "actors/health_monitor.hpp"

#include "actors/guard.hpp"

#include <algorithm>

namespace troupe {

namespace {

using self_ptr = health_monitor_actor::stateful_pointer<health_monitor_state>;
using namespace std::chrono;

health_check check_database(const health_monitor_options& options, const database_probe& probe,
                            microseconds latency) {
  health_check check{"database", health_status::ok, latency, {}};
  if (probe.in_recovery)
    check = {"database", health_status::failing, latency,
             "the server is a standby: it cannot write"};
  else if (probe.schema_version != options.schema_version)
    check = {"database", health_status::failing, latency,
             "schema version " + std::to_string(probe.schema_version) + ", this program speaks "
                 + std::to_string(options.schema_version)};
  else if (!probe.durable)
    check = {"database", health_status::degraded, latency,
             "fsync, full_page_writes or synchronous_commit is off: acknowledged jobs can be lost"};
  else if (latency > options.slow_round_trip)
    check = {"database", health_status::degraded, latency, "slow round trip"};
  return check;
}

health_check check_clock(const health_monitor_options& options, const database_probe& probe) {
  const auto skew = duration_cast<milliseconds>(system_clock::now() - probe.now);
  health_check check{"clock", health_status::ok, 0us, {}};
  if (abs(skew) > options.clock_skew) {
    check.status = health_status::degraded;
    check.detail =
        "this node's clock is " + std::to_string(skew.count()) + " ms ahead of the database's";
  }
  return check;
}

health_check check_pool(const engine_counters& counters) {
  health_check check{"pool", health_status::ok, 0us, {}};
  if (counters.connections_open.load() == 0)
    check = {"pool", health_status::failing, 0us, "no database connection"};
  else if (counters.pool_waiting.load() > 0)
    check = {"pool", health_status::degraded, 0us,
             std::to_string(counters.pool_waiting.load()) + " callers wait for a connection"};
  return check;
}

health_check check_heartbeat(self_ptr self) {
  auto& state = self->state;
  const auto beats = state.counters->heartbeats.load();
  const auto now = steady_clock::now();
  if (beats != state.heartbeats) {
    state.heartbeats = beats;
    state.heartbeat_at = now;
  }
  if (beats == 0)
    return {"heartbeat", health_status::failing, 0us, "this node has not joined yet"};
  const auto age = duration_cast<milliseconds>(now - state.heartbeat_at);
  if (age > state.options.calm_interval + state.options.heartbeat_age)
    return {"heartbeat", health_status::degraded, 0us,
            "no heartbeat for " + std::to_string(age.count()) + " ms"};
  return {"heartbeat", health_status::ok, 0us, {}};
}

void publish(self_ptr self, std::vector<health_check> checks) {
  auto& state = self->state;
  health_report report;
  report.status = health_status::ok;
  for (const auto& check : checks)
    report.status = std::max(report.status, check.status);
  report.ready = report.status != health_status::failing;
  report.taken_at = steady_clock::now();
  report.checks = std::move(checks);
  if (report.ready != state.was_ready)
    log::info("health monitor", report.ready ? "ready" : "not ready");
  state.was_ready = report.ready;
  self->delayed_send(self,
                     report.status == health_status::ok ? state.options.calm_interval
                                                        : state.options.tense_interval,
                     tick_atom_v);
  state.board->publish(std::move(report));
}

void check(self_ptr self) {
  self->request(self->state.store, caf::infinite, probe_database{})
      .then(
          [self, asked = steady_clock::now()](const database_probe& probe) {
            const auto latency = duration_cast<microseconds>(steady_clock::now() - asked);
            const auto& state = self->state;
            publish(self,
                    {check_database(state.options, probe, latency), check_pool(*state.counters),
                     check_heartbeat(self), check_clock(state.options, probe)});
          },
          [self](caf::error& error) {
            publish(self, {{"database", health_status::failing, 0us, to_failure(error).detail},
                           check_pool(*self->state.counters),
                           check_heartbeat(self)});
          });
}

} // namespace

health_monitor_actor::behavior_type
health_monitor(health_monitor_actor::stateful_pointer<health_monitor_state> self,
               health_monitor_options options, store_actor store, engine_counters* counters,
               std::shared_ptr<health_board> board) {
  self->state.options = options;
  self->state.store = std::move(store);
  self->state.counters = counters;
  self->state.board = std::move(board);
  self->send(self, tick_atom_v);
  return {[self](tick_atom) { check(self); }};
}

} // namespace troupe
