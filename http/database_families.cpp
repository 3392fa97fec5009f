#include "http/database_families.hpp"

#include <map>
#include <string>
#include <string_view>

namespace troupe::http {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

/// The numbers of one histogram, or of several added up.
struct reading {
  std::array<std::uint64_t, latency_histogram::bounds_us.size() + 1> counts{};
  std::uint64_t sum_us = 0;
  std::uint64_t errors = 0;

  void add(const latency_histogram& from) {
    for (std::size_t i = 0; i < counts.size(); ++i)
      counts[i] += from.count(i);
    sum_us += from.sum_us();
  }
  void add(const statement_metrics& from) {
    add(from.latency);
    errors += from.errors.load(std::memory_order_relaxed);
  }
};

ClientMetric metric_of(const reading& from) {
  return histogram_of(latency_histogram::bounds_us, from.counts, from.sum_us);
}

double read(const database_metrics::counter& from) {
  return static_cast<double>(from.load(std::memory_order_relaxed));
}

void add_one(families& out, const char* name, const char* help, MetricType type, double value) {
  MetricFamily family{name, help, type, {}};
  add_value(family, value);
  out.push_back(std::move(family));
}

template<class Counters, class Labels>
void add_labelled(families& out, const char* name, const char* help, const char* label,
                  const Counters& counters, const Labels& labels) {
  MetricFamily family{name, help, MetricType::Counter, {}};
  for (std::size_t i = 0; i < counters.size(); ++i) {
    add_value(family, read(counters[i]));
    family.metric.back().label = {{label, std::string{labels[i]}}};
  }
  out.push_back(std::move(family));
}

void add_pool(families& out, const database_metrics& metrics) {
  MetricFamily connections{
      "troupe_db_pool_connections", "Open connections to PostgreSQL.", MetricType::Gauge, {}};
  const auto open = read(metrics.connections);
  const auto lent = std::min(open, read(metrics.lent));
  add_value(connections, open - lent);
  connections.metric.back().label = {{"state", "shared"}};
  add_value(connections, lent);
  connections.metric.back().label = {{"state", "lent"}};
  out.push_back(std::move(connections));
  add_one(out, "troupe_db_pool_connections_max", "Connections to PostgreSQL at most.",
          MetricType::Gauge, read(metrics.limit));
  add_one(out, "troupe_db_statements_in_flight", "Statements sent and not yet answered.",
          MetricType::Gauge, read(metrics.in_flight));
  add_one(out, "troupe_db_reconnects_total", "Connections made to replace a broken one.",
          MetricType::Counter, read(metrics.reconnects));
  add_one(out, "troupe_db_connections_retired_total", "Connections closed for age or idleness.",
          MetricType::Counter, read(metrics.retired));
  MetricFamily acquire{"troupe_db_pool_acquire_seconds",
                       "How long callers waited for a connection.",
                       MetricType::Histogram,
                       {}};
  reading waited;
  waited.add(metrics.acquire);
  acquire.metric.push_back(metric_of(waited));
  out.push_back(std::move(acquire));
}

struct connection_family {
  const char* name;
  const char* help;
  MetricType type;
  double (*of)(const connection_metrics&);
};
constexpr std::array connection_families{
    connection_family{"troupe_db_connection_in_flight",
                      "Statements sent on one connection and not yet answered.", MetricType::Gauge,
                      [](const auto& of) { return static_cast<double>(of.in_flight); }},
    connection_family{"troupe_db_connection_lent",
                      "1 while the connection is in the hands of one borrower.", MetricType::Gauge,
                      [](const auto& of) { return of.lent ? 1.0 : 0.0; }},
    connection_family{"troupe_db_connection_age_seconds", "How long ago the connection was made.",
                      MetricType::Gauge,
                      [](const auto& of) {
                        const auto age = std::chrono::steady_clock::now() - of.up_since.load();
                        return std::chrono::duration<double>(age).count();
                      }},
    connection_family{"troupe_db_connection_statements_total",
                      "Statements answered on the connections of one slot.", MetricType::Counter,
                      [](const auto& of) { return static_cast<double>(of.statements); }},
    connection_family{"troupe_db_connection_errors_total",
                      "Statements that failed on the connections of one slot.", MetricType::Counter,
                      [](const auto& of) { return static_cast<double>(of.errors); }},
};

/// Slots that somebody holds; the counters of the others stay, too.
void add_connections(families& out, const database_metrics& metrics) {
  for (const auto& each : connection_families) {
    MetricFamily family{each.name, each.help, each.type, {}};
    for (std::size_t i = 0; i < metrics.slots().size(); ++i) {
      const auto& slot = metrics.slots()[i];
      if (slot.holder == 0 && (each.type == MetricType::Gauge || slot.statements == 0))
        continue;
      add_value(family, each.of(slot));
      family.metric.back().label = {{"slot", std::to_string(i)}};
    }
    if (!family.metric.empty())
      out.push_back(std::move(family));
  }
}

void add_statements(families& out, const database_metrics& metrics) {
  // One line per name: two entries with the same text would be one series twice.
  std::map<std::string_view, reading> by_name;
  for (const auto& entry : metrics.statements())
    if (const char* name = entry.name.load(std::memory_order_acquire))
      by_name[name].add(entry);
  by_name["other"].add(metrics.other());
  MetricFamily latency{"troupe_db_statement_seconds",
                       "From sending a statement to its answer, by the statement's name.",
                       MetricType::Histogram,
                       {}};
  MetricFamily errors{"troupe_db_statement_errors_total",
                      "Statements that failed, by their name.",
                      MetricType::Counter,
                      {}};
  for (const auto& [name, found] : by_name) {
    latency.metric.push_back(metric_of(found));
    latency.metric.back().label = {{"statement", std::string{name}}};
    add_value(errors, static_cast<double>(found.errors));
    errors.metric.back().label = latency.metric.back().label;
  }
  out.push_back(std::move(latency));
  out.push_back(std::move(errors));
}

} // namespace

void add_database_families(families& out, const database_metrics& metrics) {
  add_pool(out, metrics);
  add_connections(out, metrics);
  add_statements(out, metrics);
  add_labelled(out, "troupe_db_errors_total",
               "Statements and connections that failed, by the class of their SQLSTATE.",
               "sqlstate_class", metrics.errors, database_metrics::error_classes);
  add_one(out, "troupe_db_transactions_total", "Transactions begun by units of work.",
          MetricType::Counter, read(metrics.transactions));
  add_one(out, "troupe_db_savepoints_total", "Savepoints set by units of work.",
          MetricType::Counter, read(metrics.savepoints));
  add_one(out, "troupe_db_transaction_retries_total",
          "Whole transactions run again after a conflict.", MetricType::Counter,
          read(metrics.transaction_retries));
  add_labelled(out, "troupe_db_rollbacks_total", "Transactions rolled back, by cause.", "cause",
               metrics.rollbacks, database_metrics::rollback_causes);
}

} // namespace troupe::http
