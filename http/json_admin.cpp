#include "http/json_admin.hpp"

#include "http/json_members.hpp"
#include "http/problem.hpp"
#include "http/time_format.hpp"
#include "messages/job_log.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string_view>

namespace troupe::http {

namespace {

using std::chrono::milliseconds;

void append_ms(std::string& out, std::string_view name, std::optional<milliseconds> value) {
  append_number(out, name, value ? std::optional{value->count()} : std::nullopt);
}

void append_range(std::string& out, const job_range& ids) {
  out += ",\"first_id\":\"" + std::to_string(ids.first.value) + "\",\"last_id\":\""
         + std::to_string(ids.last.value) + '"';
}

void append_jobs(std::string& out, const retention_record& kept) {
  out += "{\"ages\":[";
  for (const auto& each : kept.ages) {
    if (out.back() == '}')
      out += ',';
    append_ages(out, each);
  }
  out += kept.more_queues ? "],\"more_queues\":true" : "],\"more_queues\":false";
  append_time_of(out, "oldest_at", kept.oldest_job);
  append_number(out, "partitions", kept.partitions);
  out += ",\"last_drop\":";
  if (const auto& drop = kept.last_drop) {
    out += "{\"at\":";
    append_time_or_null(out, drop->at);
    append_range(out, drop->ids);
    append_number(out, "dropped", drop->dropped);
    append_number(out, "kept", drop->kept);
    out += '}';
  } else {
    out += "null";
  }
  out += ",\"looking\":";
  if (const auto& look = kept.looking) {
    out += "{\"to_id\":\"" + std::to_string(look->to.value) + '"';
    append_range(out, look->ids);
    out += '}';
  } else {
    out += "null";
  }
  append_time_of(out, "next_look_at", kept.next_look);
  out += '}';
}

} // namespace

void append_ages(std::string& out, const job_ages& ages) {
  out += '{';
  append_text_or_null(out, "queue", ages.queue);
  append_ms(out, "completed_ms", ages.completed);
  append_ms(out, "cancelled_ms", ages.cancelled);
  append_ms(out, "discarded_ms", ages.discarded);
  out += '}';
}

void append_connections(std::string& out, const database_metrics& metrics) {
  const auto now = std::chrono::steady_clock::now();
  bool first = true;
  for (std::size_t i = 0; i < metrics.slots().size(); ++i) {
    const auto& slot = metrics.slots()[i];
    if (slot.holder == 0)
      continue;
    out += first ? "{" : ",{";
    first = false;
    append_number(out, "slot", i);
    out += ",\"backend_pid\":" + std::to_string(slot.backend_pid);
    append_ms(out, "age_ms", std::chrono::duration_cast<milliseconds>(now - slot.up_since.load()));
    out += slot.lent ? ",\"lent\":true" : ",\"lent\":false";
    append_number(out, "in_flight", slot.in_flight);
    append_number(out, "statements", slot.statements);
    append_number(out, "errors", slot.errors);
    out += '}';
  }
}

std::string pool_json(const database_metrics& metrics, const engine_counters& counters,
                      const pool_bounds& bounds) {
  std::uint64_t open = 0;
  std::uint64_t lent = 0;
  std::uint64_t busy = 0;
  std::uint64_t in_flight = 0;
  for (const auto& slot : metrics.slots()) {
    if (slot.holder == 0)
      continue;
    const auto sent = slot.in_flight.load();
    ++open;
    lent += slot.lent ? 1U : 0U;
    busy += slot.lent || sent > 0 ? 1U : 0U;
    in_flight += sent;
  }
  std::string out = "{";
  append_number(out, "open", open);
  append_number(out, "idle", open - busy);
  append_number(out, "busy", busy);
  append_number(out, "lent", lent);
  append_number(out, "in_flight", in_flight);
  append_number(out, "waiting", counters.pool_waiting);
  out += ",\"bounds\":{";
  append_number(out, "min_connections", bounds.min_connections);
  append_number(out, "max_connections", bounds.max_connections);
  append_number(out, "max_waiting", bounds.max_waiting);
  append_ms(out, "acquire_timeout_ms", bounds.acquire_timeout);
  append_ms(out, "statement_timeout_ms", bounds.statement_timeout);
  append_ms(out, "idle_limit_ms", bounds.idle_limit);
  append_ms(out, "max_lifetime_ms", bounds.max_lifetime);
  std::uint64_t acquired = 0;
  for (std::size_t i = 0; i <= latency_histogram::bounds_us.size(); ++i)
    acquired += metrics.acquire.count(i);
  out += "},\"since_start\":{";
  append_number(out, "acquired", acquired);
  append_number(out, "waited_ms", metrics.acquire.sum_us() / 1000);
  append_number(out, "refused", counters.pool_refused);
  append_number(out, "lost", counters.connections_lost);
  append_number(out, "reconnects", metrics.reconnects);
  append_number(out, "retired", metrics.retired);
  append_number(out, "statements", counters.statements);
  append_number(out, "statement_errors", counters.statement_errors);
  out += "},\"connections\":[";
  append_connections(out, metrics);
  return out + "]}";
}

std::string retention_json(const retention_record& kept, const export_bounds& exports) {
  std::string out = "{\"jobs\":";
  append_jobs(out, kept);
  out += ",\"others\":[";
  const auto add = [&out](const retention_record::thing& each) {
    out += out.back() == '[' ? "{\"what\":" : ",{\"what\":";
    append_json_string(out, each.name);
    append_ms(out, "age_ms", each.age);
    append_time_of(out, "oldest_at", each.oldest);
    out += '}';
  };
  for (const auto& each : kept.others)
    add(each);
  out += "],\"exports\":{";
  append_ms(out, "age_ms", exports.life);
  append_number(out, "most", exports.kept);
  append_number(out, "most_bytes", exports.all_bytes);
  return out + "}}";
}

std::string doctor_json(const doctor_report& report) {
  std::string out = "{\"status\":\"";
  out += name_of(report.status());
  out += "\",\"server\":";
  append_json_string(out, report.server);
  out += ",\"checks\":[";
  for (const auto& each : report.findings) {
    out += out.back() == '[' ? "{\"name\":" : ",{\"name\":";
    append_json_string(out, each.name);
    out += ",\"status\":\"";
    out += name_of(each.status);
    out += "\",\"found\":";
    append_json_string(out, each.found);
    out += ",\"advice\":";
    if (each.advice.empty())
      out += "null";
    else
      append_json_string(out, each.advice);
    out += '}';
  }
  return out + "]}";
}

} // namespace troupe::http
