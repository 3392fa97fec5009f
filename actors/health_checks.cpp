#include "actors/health_checks.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <numeric>

namespace troupe {

namespace {

using namespace std::chrono;

health_check verdict(const char* name, health_status status, std::string reason,
                     microseconds latency = 0us) {
  return {name, status, latency, std::move(reason)};
}

health_check fine(const char* name, microseconds latency = 0us) {
  return {name, health_status::ok, latency, {}};
}

std::string ms(nanoseconds value) {
  return std::to_string(duration_cast<milliseconds>(value).count()) + " ms";
}

std::string size_text(std::uint64_t bytes) {
  std::array<char, 32> text;
  const double mib = static_cast<double>(bytes) / (1 << 20);
  std::snprintf(text.data(), text.size(), mib < 1024 ? "%.0f MiB" : "%.1f GiB",
                mib < 1024 ? mib : mib / 1024);
  return text.data();
}

} // namespace

health_check check_round_trip(const health_limits& limits, microseconds latency) {
  if (latency > limits.slow_round_trip)
    return verdict("database", health_status::degraded, "slow: a round trip took " + ms(latency),
                   latency);
  return fine("database", latency);
}

health_check check_replication(const database_probe& probe) {
  if (probe.in_recovery)
    return verdict("replication", health_status::failing,
                   "the server is a standby: it cannot write");
  if (probe.read_only)
    return verdict("replication", health_status::failing,
                   "transactions are read only by default (default_transaction_read_only)");
  return fine("replication");
}

health_check check_migrations(const health_limits& limits, const database_probe& probe) {
  const auto found = std::to_string(probe.schema_version);
  const auto spoken = std::to_string(limits.schema_version);
  if (probe.schema_version < limits.schema_version)
    return verdict("migrations", health_status::failing,
                   "the database has schema version " + found + ", this program needs " + spoken
                       + "; run troupe migrate");
  if (probe.schema_version > limits.schema_version)
    return verdict("migrations", health_status::failing,
                   "the database has schema version " + found + ", this program knows up to "
                       + spoken + "; run a newer one");
  return fine("migrations");
}

health_check check_durability(const database_probe& probe) {
  if (!probe.durable)
    return verdict("durability", health_status::degraded,
                   "fsync, full_page_writes or synchronous_commit is off: acknowledged jobs can be "
                   "lost");
  return fine("durability");
}

health_check check_clock(const health_limits& limits, const database_probe& probe, timestamp here,
                         microseconds latency) {
  // The database looked at its clock some time between question and answer.
  const auto skew = here - latency / 2 - probe.now;
  if (abs(skew) <= limits.clock_skew + latency / 2)
    return fine("clock");
  return verdict("clock", health_status::degraded,
                 "this node's clock is " + ms(abs(skew)) + (skew > 0us ? " ahead of" : " behind")
                     + " the database's");
}

health_check check_scheduler(const health_limits& limits, const database_probe& probe) {
  if (probe.overdue > limits.overdue)
    return verdict("scheduler", health_status::degraded,
                   "a deferred job is overdue by " + ms(probe.overdue), probe.overdue);
  return fine("scheduler", probe.overdue);
}

health_check check_notifier(const engine_counters& counters) {
  if (counters.listening.load() == 0)
    return verdict("notifier", health_status::degraded,
                   "not listening: what SQL and other nodes change is noticed with the next "
                   "heartbeat");
  return fine("notifier");
}

health_check check_disk(const health_limits& limits, const std::optional<disk_space>& space) {
  if (!space || space->total == 0)
    return verdict("disk", health_status::degraded, "the free space cannot be read");
  const auto share = static_cast<double>(space->free) / static_cast<double>(space->total);
  const bool least = share < limits.least_share || space->free < limits.least_bytes;
  if (!least && share >= limits.low_share && space->free >= limits.low_bytes)
    return fine("disk");
  return verdict("disk", least ? health_status::failing : health_status::degraded,
                 "only " + size_text(space->free) + " of " + size_text(space->total)
                     + " are free for the private PostgreSQL");
}

health_check pool_watch::check(const health_limits& limits, const engine_counters& counters,
                               const database_metrics& metrics) {
  const auto refused = counters.pool_refused.load();
  const auto turned_away = refused - refused_;
  refused_ = refused;
  auto waited = waits_;
  for (std::size_t i = 0; i < waits_.size(); ++i) {
    waits_[i] = metrics.acquire.count(i);
    waited[i] = waits_[i] - waited[i];
  }
  // The bound of the bucket in which the 99th of a hundred is.
  const auto all = std::accumulate(waited.begin(), waited.end(), std::uint64_t{0});
  std::size_t at = 0;
  for (auto below = waited[0]; below * 100 < all * 99; below += waited[at])
    ++at;
  const auto& bounds = latency_histogram::bounds_us;
  const microseconds p99{all == 0 ? 0 : bounds[std::min(at, bounds.size() - 1)]};

  if (counters.connections_open.load() == 0)
    return verdict("pool", health_status::failing, "no database connection", p99);
  if (turned_away > 0)
    return verdict("pool", health_status::degraded,
                   std::to_string(turned_away)
                       + " callers were turned away since the last check: all connections are busy",
                   p99);
  if (const auto waiting = counters.pool_waiting.load(); waiting > 0)
    return verdict("pool", health_status::degraded,
                   std::to_string(waiting) + " callers wait for a connection", p99);
  if (p99 > limits.slow_acquire)
    return verdict("pool", health_status::degraded,
                   "one caller in a hundred waits up to " + ms(p99) + " for a connection", p99);
  return fine("pool", p99);
}

health_check heartbeat_watch::check(const health_limits& limits, const engine_counters& counters,
                                    steady_clock::time_point now) {
  const auto beats = counters.heartbeats.load();
  if (beats == 0)
    return verdict("heartbeat", health_status::failing, "this node has not joined yet");
  if (beats != seen_) {
    seen_ = beats;
    at_ = now;
  }
  if (now - at_ > limits.heartbeat_age)
    return verdict("heartbeat", health_status::degraded, "no heartbeat for " + ms(now - at_));
  return fine("heartbeat");
}

health_check executor_watch::check(const health_limits& limits, const engine_counters& counters,
                                   steady_clock::time_point now) {
  const auto ended = counters.attempts_completed + counters.attempts_failed
                     + counters.attempts_discarded + counters.attempts_cancelled
                     + counters.attempts_snoozed + counters.attempts_fenced;
  const auto backlog = counters.backlog.load();
  if (backlog == 0 || ended != ended_ || moved_at_ == steady_clock::time_point{}) {
    ended_ = ended;
    moved_at_ = now;
  }
  if (now - moved_at_ <= limits.stuck) {
    const auto stuck = counters.stuck.load();
    return stuck == 0 ? fine("executor")
                      : verdict("executor", health_status::degraded,
                                std::to_string(stuck)
                                    + " handlers go on though they were asked to "
                                      "stop; their slots are others' now");
  }
  const auto running = counters.running.load();
  return verdict("executor", running == 0 ? health_status::failing : health_status::degraded,
                 std::to_string(backlog) + " claimed jobs wait, " + std::to_string(running)
                     + " run, and none has ended for " + ms(now - moved_at_));
}

} // namespace troupe
