#include "launcher/span_encoding.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>

namespace troupe {

namespace {

using json = nlohmann::json;
using export_verdict = export_answer::verdict;

constexpr std::string_view traces_path = "/v1/traces";
/// Of a collector's Retry-After.
constexpr std::chrono::seconds longest_pause{60};
/// Of what it says about a refusal.
constexpr std::size_t max_reason = 200;
/// The parent was in another process, and that is known.
constexpr unsigned remote_parent = 0x300;
constexpr int status_error = 2;

json attribute(std::string_view name, const span::value& value) {
  json out{{"key", name}};
  if (const auto* number = std::get_if<std::int64_t>(&value))
    out["value"]["intValue"] = std::to_string(*number);
  else
    out["value"]["stringValue"] = std::get<std::string>(value);
  return out;
}

std::string nanoseconds(std::chrono::system_clock::time_point when) {
  return std::to_string(
      std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count());
}

json span_json(const span& one) {
  json out{{"traceId", one.self.trace_id},
           {"spanId", one.self.span_id},
           {"name", one.name},
           {"kind", static_cast<int>(one.kind)},
           {"startTimeUnixNano", nanoseconds(one.start)},
           {"endTimeUnixNano", nanoseconds(one.end)},
           {"flags", one.self.flags | (one.parent.empty() ? 0U : remote_parent)},
           {"attributes", json::array()}};
  if (!one.parent.empty())
    out["parentSpanId"] = one.parent;
  for (const auto& [name, value] : one.attributes)
    out["attributes"].push_back(attribute(name, value));
  if (one.failed) {
    out["status"]["code"] = status_error;
    if (!one.failure.empty())
      out["status"]["message"] = one.failure;
  }
  return out;
}

std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

/// Of an answer 200: how many spans the collector has left out, and why.
export_answer read_taken(std::string_view body) {
  export_answer out;
  const auto read = json::parse(body, nullptr, false);
  if (!read.is_object() || !read.contains("partialSuccess"))
    return out;
  const auto& partial = read["partialSuccess"];
  if (!partial.is_object())
    return out;
  const auto count = partial.value("rejectedSpans", json{});
  if (count.is_string())
    out.rejected = whole_number(count.get<std::string>()).value_or(0);
  else if (count.is_number_unsigned())
    out.rejected = count.get<std::size_t>();
  if (const auto why = partial.value("errorMessage", json{}); why.is_string())
    out.reason = why.get<std::string>().substr(0, max_reason);
  return out;
}

} // namespace

std::string to_otlp(const std::vector<span>& spans, const span_resource& of) {
  auto list = json::array();
  for (const auto& one : spans)
    list.push_back(span_json(one));
  auto about = json::array({attribute("service.name", of.service_name),
                            attribute("service.instance.id", of.instance_id),
                            attribute("service.version", of.service_version)});
  json scope{{"scope", {{"name", "troupe"}, {"version", of.service_version}}},
             {"spans", std::move(list)}};
  json resource{{"resource", {{"attributes", std::move(about)}}},
                {"scopeSpans", json::array({std::move(scope)})}};
  const json out{{"resourceSpans", json::array({std::move(resource)})}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string traces_url(std::string_view endpoint) {
  while (endpoint.ends_with('/'))
    endpoint.remove_suffix(1);
  std::string out{endpoint};
  return endpoint.ends_with(traces_path) ? out : out.append(traces_path);
}

export_answer judge_export(int status, std::string_view body, std::string_view retry_after) {
  if (status >= 200 && status < 300)
    return read_taken(body);
  export_answer out;
  out.reason = status == 0 ? "no answer" : "status " + std::to_string(status);
  const bool passing =
      status == 0 || status == 429 || status == 502 || status == 503 || status == 504;
  out.what = passing ? export_verdict::again : export_verdict::refused;
  if (const auto seconds = whole_number(retry_after); passing && seconds)
    out.retry_after =
        std::chrono::seconds{std::min(*seconds, static_cast<std::uint64_t>(longest_pause.count()))};
  return out;
}

} // namespace troupe
