// Spans as OTLP wants them, in its JSON: ids in hexadecimal digits, 64-bit numbers as text. And
// what a collector's answer means. Pure.
#pragma once

#include "messages/span.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Whose spans they are: attributes of the resource.
struct span_resource {
  std::string service_name;
  std::string instance_id;
  std::string service_version;
};

/// An ExportTraceServiceRequest. Bytes that are no UTF-8 are replaced.
std::string to_otlp(const std::vector<span>& spans, const span_resource& of);

/// Where spans go, of a collector at `endpoint`: that with /v1/traces, unless it has that already.
std::string traces_url(std::string_view endpoint);

/// What is to be done after an answer.
struct export_answer {
  enum class verdict : std::uint8_t { taken, again, refused };
  verdict what = verdict::taken;
  std::size_t rejected = 0; ///< taken: so many of them were not
  std::string reason;       ///< for a person
  /// again: not before. None: as we like.
  std::optional<std::chrono::milliseconds> retry_after;
};
/// `status` 0: none came. `retry_after`: that header, empty without one; dates are not read.
export_answer judge_export(int status, std::string_view body, std::string_view retry_after);

} // namespace troupe
