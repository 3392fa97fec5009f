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

/// As a JSON string. Names and ids need no care; the rest is left to the library.
void append_text(std::string& out, std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
  });
  if (plain)
    out.append(1, '"').append(text).append(1, '"');
  else
    out += json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

void append_attribute(std::string& out, std::string_view name, const span::value& value) {
  out += R"({"key":)";
  append_text(out, name);
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    out += R"(,"value":{"intValue":")" + std::to_string(*number) + R"("}},)";
  } else {
    out += R"(,"value":{"stringValue":)";
    append_text(out, std::get<std::string>(value));
    out += "}},";
  }
}

/// In place of the comma behind the last element of a list.
void end_list(std::string& out) {
  if (out.back() == ',')
    out.back() = ']';
  else
    out += ']';
}

std::string nanoseconds(std::chrono::system_clock::time_point when) {
  return std::to_string(
      std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count());
}

void append_span(std::string& out, const span& one) {
  out += R"({"traceId":")" + one.self.trace_id + R"(","spanId":")" + one.self.span_id;
  if (!one.parent.empty())
    out += R"(","parentSpanId":")" + one.parent;
  out += R"(","name":)";
  append_text(out, one.name);
  out += R"(,"kind":)" + std::to_string(static_cast<int>(one.kind)) + R"(,"startTimeUnixNano":")"
         + nanoseconds(one.start) + R"(","endTimeUnixNano":")" + nanoseconds(one.end)
         + R"(","flags":)"
         + std::to_string(one.self.flags | (one.parent.empty() ? 0U : remote_parent))
         + R"(,"attributes":[)";
  for (const auto& [name, value] : one.attributes)
    append_attribute(out, name, value);
  end_list(out);
  if (one.failed) {
    out += R"(,"status":{"code":)" + std::to_string(status_error);
    if (!one.failure.empty()) {
      out += R"(,"message":)";
      append_text(out, one.failure);
    }
    out += '}';
  }
  out += "},";
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
  std::string out = R"({"resourceSpans":[{"resource":{"attributes":[)";
  append_attribute(out, "service.name", of.service_name);
  append_attribute(out, "service.instance.id", of.instance_id);
  append_attribute(out, "service.version", of.service_version);
  end_list(out);
  out += R"(},"scopeSpans":[{"scope":{"name":"troupe","version":)";
  append_text(out, of.service_version);
  out += R"(},"spans":[)";
  for (const auto& one : spans)
    append_span(out, one);
  end_list(out);
  return out + "}]}]}";
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
