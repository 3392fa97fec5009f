// See metrics.hpp. prometheus-cpp's core writes the text; its registry and its own server are not
// used.
#include "http/metrics.hpp"

#include "http/database_families.hpp"
#include "http/engine_families.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <sys/resource.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace troupe::http {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

struct exported {
  const char* name;
  const char* help;
  engine_counters::counter engine_counters::*member;
};

using c = engine_counters;
constexpr std::array<exported, 17> totals = {{
    {"troupe_jobs_enqueued_total", "Jobs stored through this node.", &c::jobs_enqueued},
    {"troupe_jobs_claimed_total", "Jobs handed to this node.", &c::jobs_claimed},
    {"troupe_job_log_lines_total", "Lines of runs that were stored.", &c::log_lines},
    {"troupe_job_log_lines_dropped_total", "Lines left out for want of room.",
     &c::log_lines_dropped},
    {"troupe_reports_fenced_total", "Progress and lines that came too late.", &c::reports_fenced},
    {"troupe_leases_expired_total", "Leases taken back from dead nodes, by this one.",
     &c::leases_expired},
    {"troupe_jobs_expired_total", "Jobs dropped past their ages.", &c::jobs_expired},
    {"troupe_jobs_promoted_total", "Deferred jobs made available.", &c::jobs_promoted},
    {"troupe_notifications_total", "Notifications heard of PostgreSQL.", &c::notifications},
    {"troupe_notifier_reconnects_total", "Listening connections that were lost.",
     &c::notifier_reconnects},
    {"troupe_db_statements_total", "Statements sent to PostgreSQL.", &c::statements},
    {"troupe_db_connections_lost_total", "Connections that broke.", &c::connections_lost},
    {"troupe_db_pool_refused_total", "Callers the pool turned away.", &c::pool_refused},
    {"troupe_http_requests_total", "Requests that reached a route.", &c::http_requests},
    {"troupe_token_changes_total", "Revocations heard of, or perhaps missed.", &c::token_changes},
    {"troupe_spans_exported_total", "Spans that the collector has taken.", &c::spans_exported},
    {"troupe_span_export_errors_total", "Requests to the collector that failed.",
     &c::span_export_errors},
}};

constexpr std::array<exported, 7> gauges = {{
    {"troupe_jobs_running", "Slots taken on this node.", &c::running},
    {"troupe_jobs_stuck", "Handlers that go on though their slot is free again.", &c::stuck},
    {"troupe_jobs_backlog", "Jobs claimed here and not started.", &c::backlog},
    {"troupe_notifier_listening", "1 while notifications are heard.", &c::listening},
    {"troupe_db_pool_waiting", "Callers waiting for a connection.", &c::pool_waiting},
    {"troupe_http_connections", "Open HTTP connections.", &c::http_connections},
    {"troupe_requests_in_flight", "Sessions alive.", &c::requests_in_flight},
}};

MetricFamily family(std::string name, std::string help, MetricType type, double value) {
  ClientMetric metric;
  if (type == MetricType::Counter)
    metric.counter.value = value;
  else
    metric.gauge.value = value;
  return {std::move(name), std::move(help), type, {std::move(metric)}};
}

void add(std::vector<MetricFamily>& out, const engine_counters& counters, const exported& entry,
         MetricType type) {
  const auto value = (counters.*entry.member).load(std::memory_order_relaxed);
  out.push_back(family(entry.name, entry.help, type, static_cast<double>(value)));
}

/// The moment at which the kernel began to count, since the epoch.
double boot_seconds() {
  std::ifstream stat{"/proc/stat"};
  for (std::string word; stat >> word;) {
    double seconds = 0;
    if (word == "btime" && stat >> seconds)
      return seconds;
  }
  return 0;
}

/// Of /proc/self/stat: behind the program's name, which may hold anything, threads are the 18th
/// field and the start the 20th, in ticks since the machine's.
void read_stat(process_figures& out) {
  std::ifstream file{"/proc/self/stat"};
  std::string line;
  std::getline(file, line);
  const auto name_ends = line.rfind(')');
  if (name_ends == std::string::npos)
    return;
  std::istringstream fields{line.substr(name_ends + 1)};
  std::string skipped;
  for (int i = 0; i < 17; ++i)
    fields >> skipped;
  double ticks = 0;
  fields >> out.threads >> skipped >> ticks;
  static const double boot = boot_seconds();
  out.start_seconds = boot + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

} // namespace

process_figures read_process() {
  process_figures out;
  std::ifstream statm{"/proc/self/statm"};
  std::int64_t total = 0;
  std::int64_t resident = 0;
  if (statm >> total >> resident) {
    out.resident_bytes = resident * sysconf(_SC_PAGESIZE);
    out.virtual_bytes = total * sysconf(_SC_PAGESIZE);
  }
  read_stat(out);
  rlimit descriptors{};
  if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0)
    out.max_descriptors = static_cast<std::int64_t>(
        std::min<rlim_t>(descriptors.rlim_cur, std::numeric_limits<std::int64_t>::max()));
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  out.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  std::error_code ec;
  for (std::filesystem::directory_iterator it{"/proc/self/fd", ec}, end; !ec && it != end;
       it.increment(ec))
    ++out.open_descriptors;
  return out;
}

std::string metrics_text(const engine_counters& counters, const database_metrics& database,
                         const request_metrics& requests, const process_figures& process,
                         const build_labels& build) {
  families out;
  for (const auto& entry : totals)
    add(out, counters, entry, MetricType::Counter);
  for (const auto& entry : gauges)
    add(out, counters, entry, MetricType::Gauge);
  add_engine_families(out, counters);
  add_request_families(out, requests);
  add_database_families(out, database);
  auto info = family("troupe_build_info", "What runs here; always 1.", MetricType::Gauge, 1);
  info.metric.front().label = {
      {"version", build.version}, {"commit", build.commit}, {"node", build.node}};
  out.push_back(std::move(info));
  out.push_back(family("process_resident_memory_bytes", "Resident memory.", MetricType::Gauge,
                       static_cast<double>(process.resident_bytes)));
  out.push_back(family("process_virtual_memory_bytes", "Virtual memory.", MetricType::Gauge,
                       static_cast<double>(process.virtual_bytes)));
  out.push_back(family("process_open_fds", "Open file descriptors.", MetricType::Gauge,
                       static_cast<double>(process.open_descriptors)));
  out.push_back(family("process_max_fds", "Open file descriptors at most.", MetricType::Gauge,
                       static_cast<double>(process.max_descriptors)));
  out.push_back(family("process_threads", "Threads.", MetricType::Gauge,
                       static_cast<double>(process.threads)));
  out.push_back(family("process_start_time_seconds", "When the process began, since the epoch.",
                       MetricType::Gauge, process.start_seconds));
  out.push_back(family("process_cpu_seconds_total", "CPU time, user and system.",
                       MetricType::Counter, process.cpu_seconds));
  return prometheus::TextSerializer{}.Serialize(out);
}

} // namespace troupe::http
