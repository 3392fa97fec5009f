// W3C Trace Context: the trace that a request belongs to, as its `traceparent` says. Values only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe {

struct trace_context {
  std::string trace_id; ///< 32 lower-case hexadecimal digits, not all 0
  std::string span_id;  ///< 16 of them: of whoever asks, or of what was begun for it
  unsigned flags = 0;   ///< 1: sampled, 2: the trace id is random

  bool sampled() const { return (flags & 1U) != 0; }
};

/// Nothing for a text that is none: the recommendation wants it ignored. Of a later version what
/// version 00 knows is read.
std::optional<trace_context> parse_traceparent(std::string_view text);
/// Whether what to_traceparent() has made says so; of other texts no.
bool is_sampled(std::string_view traceparent);
/// In version 00.
std::string to_traceparent(const trace_context& context);
/// The same trace with another span; 0 is none and becomes 1.
trace_context with_span(const trace_context& context, std::uint64_t span);
/// A new trace and its first span. Random numbers become the ids, and the trace's id decides
/// whether it is sampled, so that all who begin the same one decide alike: so many of 1. None when
/// that is 0.
std::optional<trace_context> begin_trace(std::uint64_t high, std::uint64_t low, std::uint64_t span,
                                         double sample_ratio);

} // namespace troupe
