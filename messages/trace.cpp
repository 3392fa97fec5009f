#include "messages/trace.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr std::string_view digits = "0123456789abcdef";
constexpr std::size_t traceparent_length = 55; // 00-{32}-{16}-{2}
constexpr unsigned sampled_flag = 1;
constexpr unsigned random_flag = 2;
constexpr unsigned known_flags = sampled_flag | random_flag;
/// How many bits of a trace id decide; they are its last, as W3C Trace Context wants them random.
constexpr unsigned deciding_bits = 56;

bool is_hex(std::string_view text) {
  return text.find_first_not_of(digits) == std::string_view::npos;
}

void write_hex(std::string& into, std::uint64_t value) {
  for (auto at = into.rbegin(); at != into.rend(); ++at, value >>= 4U)
    *at = digits[value & 15U];
}

std::string hex(std::uint64_t value) {
  std::string out(16, '0');
  write_hex(out, value);
  return out;
}

bool is_id(std::string_view text) {
  return is_hex(text) && text.find_first_not_of('0') != std::string_view::npos;
}

} // namespace

std::optional<trace_context> parse_traceparent(std::string_view text) {
  if (text.size() < traceparent_length || text[2] != '-' || text[35] != '-' || text[52] != '-')
    return std::nullopt;
  const auto version = text.substr(0, 2);
  const auto flags = text.substr(53, 2);
  if (!is_hex(version) || version == "ff" || !is_hex(flags))
    return std::nullopt;
  if (text.size() > traceparent_length && (version == "00" || text[traceparent_length] != '-'))
    return std::nullopt;
  trace_context out;
  out.trace_id = text.substr(3, 32);
  out.span_id = text.substr(36, 16);
  if (!is_id(out.trace_id) || !is_id(out.span_id))
    return std::nullopt;
  out.flags =
      static_cast<unsigned>(digits.find(flags[0]) * 16 + digits.find(flags[1])) & known_flags;
  return out;
}

std::string to_traceparent(const trace_context& context) {
  std::string out = "00-";
  out.reserve(traceparent_length);
  out += context.trace_id;
  out += '-';
  out += context.span_id;
  out += "-0";
  out += digits[context.flags & known_flags];
  return out;
}

bool is_sampled(std::string_view traceparent) {
  if (traceparent.size() != traceparent_length)
    return false;
  const auto flags = digits.find(traceparent.back());
  return flags != std::string_view::npos && (flags & sampled_flag) != 0;
}

trace_context with_span(const trace_context& context, std::uint64_t span) {
  trace_context out = context;
  write_hex(out.span_id, std::max<std::uint64_t>(span, 1));
  return out;
}

std::optional<trace_context> begin_trace(std::uint64_t high, std::uint64_t low, std::uint64_t span,
                                         double sample_ratio) {
  if (sample_ratio <= 0)
    return std::nullopt;
  constexpr auto all = std::uint64_t{1} << deciding_bits;
  const auto left_out =
      static_cast<std::uint64_t>((1 - std::min(sample_ratio, 1.0)) * static_cast<double>(all));
  const bool sampled = low % all >= left_out;
  return trace_context{hex(std::max<std::uint64_t>(high, 1)) + hex(low),
                       hex(std::max<std::uint64_t>(span, 1)),
                       random_flag | (sampled ? sampled_flag : 0U)};
}

} // namespace troupe
