#include "http/engine_families.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace troupe::http {

namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

double read(const engine_counters::counter& from) {
  return static_cast<double>(from.load(std::memory_order_relaxed));
}

struct outcome_counter {
  std::string_view outcome;
  engine_counters::counter engine_counters::*member;
};
using c = engine_counters;
constexpr std::array<outcome_counter, 7> attempt_outcomes{{{"complete", &c::attempts_completed},
                                                           {"retry", &c::attempts_failed},
                                                           {"discard", &c::attempts_discarded},
                                                           {"cancel", &c::attempts_cancelled},
                                                           {"snooze", &c::attempts_snoozed},
                                                           {"rescue", &c::jobs_rescued},
                                                           {"fenced", &c::attempts_fenced}}};

void add_attempts(families& out, const engine_counters& counters) {
  MetricFamily attempts{"troupe_job_attempts_total",
                        "What became of attempts; rescue: of dead nodes, by this one.",
                        MetricType::Counter,
                        {}};
  for (const auto& each : attempt_outcomes)
    add_value(attempts, read(counters.*each.member), {{"outcome", std::string{each.outcome}}});
  out.push_back(std::move(attempts));
}

void add_runs(families& out, const run_metrics& runs) {
  MetricFamily jobs{"troupe_jobs_total",
                    "Runs of this node by how they ended, counted when that was stored.",
                    MetricType::Counter,
                    {}};
  MetricFamily took{"troupe_job_duration_seconds",
                    "From a run's start to its handler's answer.",
                    MetricType::Histogram,
                    {}};
  const auto size = runs.size();
  for (std::size_t i = 0; i < size; ++i) {
    const auto& one = runs[i];
    for (std::size_t end = 0; end < run_ends.size(); ++end)
      if (const auto count = one.ends[end].load(std::memory_order_relaxed); count > 0)
        add_value(
            jobs, static_cast<double>(count),
            {{"queue", one.queue}, {"kind", one.kind}, {"outcome", std::string{run_ends[end]}}});
    add_histogram(took, one.took, {{"queue", one.queue}, {"kind", one.kind}});
  }
  add_filled(out, std::move(jobs));
  add_filled(out, std::move(took));
}

void add_slots(families& out, const engine_counters& counters) {
  const auto slots = read(counters.slots);
  const auto busy = read(counters.running);
  MetricFamily workers{"troupe_workers",
                       "Slots of the queues this node has had work of; stuck: handlers that go on "
                       "though their slot is another's.",
                       MetricType::Gauge,
                       {}};
  add_value(workers, busy, {{"state", "busy"}});
  add_value(workers, std::max(0.0, slots - busy), {{"state", "idle"}});
  add_value(workers, read(counters.stuck), {{"state", "stuck"}});
  out.push_back(std::move(workers));
}

void add_spans(families& out, const engine_counters& counters) {
  MetricFamily dropped{"troupe_spans_dropped_total",
                       "Spans of this node that no collector has.",
                       MetricType::Counter,
                       {}};
  add_value(dropped, read(counters.spans_dropped_full), {{"reason", "full"}});
  add_value(dropped, read(counters.spans_dropped_rejected), {{"reason", "rejected"}});
  add_value(dropped, read(counters.spans_dropped_stopping), {{"reason", "stopping"}});
  out.push_back(std::move(dropped));
}

/// The database's, as every node publishes them; nothing before they were read for the first time.
void add_jobs_by_state(families& out, const engine_counters& counters) {
  const auto queues = counters.jobs.load();
  if (queues == nullptr)
    return;
  MetricFamily jobs{"troupe_queue_jobs",
                    "Jobs of the first 100 queues by name, on all nodes together, as read last.",
                    MetricType::Gauge,
                    {}};
  for (const auto& of : *queues)
    for (const auto& [state, count] : counted_states)
      add_value(jobs, static_cast<double>(of.*count),
                {{"queue", of.queue}, {"state", std::string{to_string(state)}}});
  add_filled(out, std::move(jobs));
}

void add_measures(families& out, const engine_counters& counters) {
  const auto measured = counters.measured.load();
  if (measured == nullptr)
    return;
  MetricFamily latency{"troupe_queue_latency_seconds",
                       "For how long the oldest available job could have run, as read last.",
                       MetricType::Gauge,
                       {}};
  for (const auto& [queue, seconds] : measured->ages)
    add_value(latency, seconds, {{"queue", queue}});
  add_filled(out, std::move(latency));
  MetricFamily dead{"troupe_table_dead_tuples",
                    "Dead rows of the schema's tables, as PostgreSQL counts them.",
                    MetricType::Gauge,
                    {}};
  for (const auto& [table, tuples] : measured->tables)
    add_value(dead, static_cast<double>(tuples), {{"table", table}});
  add_filled(out, std::move(dead));
  MetricFamily oldest{"troupe_oldest_transaction_seconds",
                      "The age of the database's oldest transaction that this role may see.",
                      MetricType::Gauge,
                      {}};
  add_value(oldest, measured->oldest_transaction);
  out.push_back(std::move(oldest));
}

} // namespace

void add_engine_families(families& out, const engine_counters& counters) {
  add_attempts(out, counters);
  add_runs(out, counters.runs);
  add_slots(out, counters);
  add_spans(out, counters);
  add_jobs_by_state(out, counters);
  add_measures(out, counters);
}

void add_request_families(families& out, const request_metrics& requests) {
  MetricFamily took{"troupe_http_request_duration_seconds",
                    "From the end of a request's head to the last byte of its answer.",
                    MetricType::Histogram,
                    {}};
  for (const auto& [answer, histogram] : requests.by_answer()) {
    const auto* by = answer.first;
    add_histogram(took, histogram,
                  {{"method", std::string{by != nullptr ? to_string(by->verb) : "none"}},
                   {"route", std::string{by != nullptr ? by->pattern : "none"}},
                   {"code", std::to_string(answer.second)}});
  }
  add_filled(out, std::move(took));
  MetricFamily rejected{
      "troupe_http_rejected_total",
      "Requests and connections that reached no handler, or answers without room.",
      MetricType::Counter,
      {}};
  for (std::size_t i = 0; i < rejections.size(); ++i)
    add_value(rejected, static_cast<double>(requests.rejected()[i]),
              {{"reason", std::string{rejections[i]}}});
  out.push_back(std::move(rejected));
  MetricFamily streams{"troupe_http_event_streams", "Open event streams.", MetricType::Gauge, {}};
  add_value(streams, static_cast<double>(requests.event_streams()), {});
  out.push_back(std::move(streams));
  MetricFamily held{"troupe_http_held_bytes",
                    "Of bodies that are read or worked on, and answers that are not written yet.",
                    MetricType::Gauge,
                    {}};
  add_value(held, static_cast<double>(requests.held_bytes()), {});
  out.push_back(std::move(held));
}

rejection rejection_of(int status) {
  switch (status) {
  case 400:
  case 417:
  case 501:
  case 505:
    return rejection::malformed;
  case 401:
    return rejection::unauthenticated;
  case 403:
    return rejection::forbidden;
  case 404:
    return rejection::no_route;
  case 405:
    return rejection::wrong_method;
  case 408:
    return rejection::too_slow;
  case 413:
  case 414:
  case 431:
    return rejection::too_large;
  case 415:
    return rejection::wrong_type;
  case 421:
    return rejection::wrong_host;
  case 429:
    return rejection::throttled;
  case 503:
    return rejection::draining;
  default:
    return rejection::other;
  }
}

} // namespace troupe::http
