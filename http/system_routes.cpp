// Probes, health, metrics and the index. They read what others published and ask nobody, so they
// cost nothing and answer while the database is away.
#include "http/json_admin.hpp"
#include "http/metrics.hpp"
#include "http/routes.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <utility>

namespace troupe::http {

namespace {

using std::chrono::milliseconds;

milliseconds age_of(std::chrono::steady_clock::time_point taken_at) {
  return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - taken_at);
}

response plain(int status, std::string text) {
  response out;
  out.status = status;
  out.content_type = "text/plain; charset=utf-8";
  out.body = std::move(text) + '\n';
  return out;
}

std::string stale_sentence(milliseconds age) {
  return "the last health check is " + std::to_string(age.count()) + " ms old";
}

/// Why traffic should not come, or empty.
std::string unready_reason(const services& context, const server_limits& limits) {
  if (context.draining && context.draining())
    return "draining: this node takes no more work";
  const auto report = context.health != nullptr ? context.health->last() : nullptr;
  if (!report)
    return "no health check has ended yet";
  if (const auto age = age_of(report->taken_at); age > limits.health_stale)
    return stale_sentence(age);
  if (report->ready)
    return {};
  std::string reason = "not ready";
  for (const auto& check : report->checks)
    if (check.status == health_status::failing)
      reason += "; " + check.name + ": " + check.detail;
  return reason;
}

std::string milliseconds_text(std::chrono::microseconds value) {
  std::array<char, 32> text;
  const int length =
      std::snprintf(text.data(), text.size(), "%.3f", static_cast<double>(value.count()) / 1000.0);
  return {text.data(), static_cast<std::size_t>(length)};
}

void append_check(std::string& out, const health_check& check, const health_report& report) {
  const auto age = age_of(check.taken_at.value_or(report.taken_at));
  out += "{\"name\":";
  append_json_string(out, check.name);
  out += ",\"status\":\"";
  out += name_of(check.status);
  out += "\",\"latency_ms\":" + milliseconds_text(check.latency);
  out += ",\"age_ms\":" + std::to_string(age.count());
  out += ",\"reason\":";
  if (check.detail.empty())
    out += "null";
  else
    append_json_string(out, check.detail);
  out += '}';
}

response health_details(const services& context, const server_limits& limits) {
  const auto report = context.health != nullptr ? context.health->last() : nullptr;
  const auto reason = unready_reason(context, limits);
  const auto age = report ? age_of(report->taken_at) : milliseconds{0};
  const bool stale = !report || age > limits.health_stale;
  const auto status = stale ? health_status::failing : report->status;
  std::string out = "{\"status\":\"";
  out += name_of(status);
  out += reason.empty() ? "\",\"ready\":true" : "\",\"ready\":false";
  out += ",\"reason\":";
  if (reason.empty())
    out += "null";
  else
    append_json_string(out, reason);
  out += ",\"node\":";
  append_json_string(out, context.node);
  out += ",\"version\":";
  append_json_string(out, context.version);
  out += ",\"age_ms\":";
  out += report ? std::to_string(age.count()) : "null";
  out += ",\"checks\":[";
  for (std::size_t i = 0; report && i < report->checks.size(); ++i) {
    if (i > 0)
      out += ',';
    append_check(out, report->checks[i], *report);
  }
  out += "],\"connections\":[";
  if (context.database != nullptr)
    append_connections(out, *context.database);
  out += "]}";
  return json_response(status == health_status::failing ? 503 : 200, std::move(out));
}

std::string index_json(const router& table, const services& context) {
  std::string out = "{\"name\":\"troupe\",\"version\":";
  append_json_string(out, context.version);
  out += ",\"node\":";
  append_json_string(out, context.node);
  out += ",\"routes\":[";
  bool first = true;
  for (const auto& entry : table.routes()) {
    out += first ? "" : ",";
    first = false;
    out += "{\"method\":\"";
    out += to_string(entry.verb);
    out += "\",\"path\":";
    append_json_string(out, entry.pattern);
    out += '}';
  }
  out += "]}";
  return out;
}

response metrics(const services& context) {
  static const engine_counters nothing_counted;
  static const database_metrics nothing_measured;
  const auto& counters = context.counters != nullptr ? *context.counters : nothing_counted;
  const auto& database = context.database != nullptr ? *context.database : nothing_measured;
  static const request_metrics nothing_answered;
  const auto& requests = context.requests != nullptr ? *context.requests : nothing_answered;
  response out;
  out.content_type = "text/plain; version=0.0.4; charset=utf-8";
  out.body = metrics_text(counters, database, requests, read_process(),
                          {context.version, context.commit, context.node});
  return out;
}

} // namespace

void add_system_routes(router& table, const services& context, const server_limits& limits) {
  const auto ready = [&context, &limits](const request_view&, const responder& respond) {
    const auto reason = unready_reason(context, limits);
    respond(reason.empty() ? plain(200, "ok") : plain(503, reason));
  };
  const answer_form text{200, "Text", "text/plain"};
  const answer_form reason{503, "Text", "text/plain"};
  const auto get = [&table](std::string_view path, role who, operation what, answer_forms answers,
                            route_handler handle, queue_scope scope = queue_scope::none) {
    table.add({.verb = method::get,
               .pattern = path,
               .role = who,
               .scope = scope,
               .what = what,
               .answers = std::move(answers),
               .untraced = who == role::anyone || path == "/metrics",
               .handle = std::move(handle)});
  };
  get("/livez", role::anyone, {"isAlive", "node", "Is the process alive?"}, {text},
      [](const request_view&, const responder& respond) { respond(plain(200, "ok")); });
  get("/readyz", role::anyone, {"isReady", "node", "Should traffic come here?"}, {text, reason},
      ready);
  get("/healthz", role::anyone, {"isHealthy", "node", "The same as /readyz"}, {text, reason},
      ready);
  get("/api/v1/health", role::viewer, {"getHealth", "node", "See what the node's own checks say"},
      {{200, "Health"}, {503, "Health"}},
      [&context, &limits](const request_view&, const responder& respond) {
        respond(health_details(context, limits));
      });
  get("/metrics", role::viewer, {"getMetrics", "node", "Metrics as Prometheus reads them"}, {text},
      [&context](const request_view&, const responder& respond) { respond(metrics(context)); });
  get(
      "/", role::viewer, {"getIndex", "node", "List the routes"}, {{200, "Index"}},
      [&table, &context](const request_view&, const responder& respond) {
        respond(json_response(200, index_json(table, context)));
      },
      queue_scope::open);
}

} // namespace troupe::http
