// See problem.hpp.
#include "http/problem.hpp"

#include "http/json_members.hpp"

#include <array>
#include <cstdint>
#include <utility>

namespace troupe::http {

namespace {

/// Length of the UTF-8 sequence at `at`, or 0 when there is none (overlong, surrogate, cut off).
std::size_t sequence_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned first = byte(0);
  if (first >= 0xC2 && first <= 0xDF)
    return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool overlong = first == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = first == 0xED && byte(1) >= 0xA0;
    return follows(1) && follows(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool overlong = first == 0xF0 && byte(1) < 0x90;
    const bool beyond = first == 0xF4 && byte(1) >= 0x90;
    return follows(1) && follows(2) && follows(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

void append_escaped(std::string& out, unsigned char c) {
  constexpr std::string_view hex = "0123456789abcdef";
  switch (c) {
  case '"':
    out += "\\\"";
    break;
  case '\\':
    out += "\\\\";
    break;
  case '\n':
    out += "\\n";
    break;
  case '\r':
    out += "\\r";
    break;
  case '\t':
    out += "\\t";
    break;
  default:
    out += "\\u00";
    out += hex[c >> 4U];
    out += hex[c & 15U];
  }
}

} // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  std::size_t plain = 0; // start of what can be copied as it is
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != 0x7F) {
      ++i;
      continue;
    }
    const auto length = c >= 0x80 ? sequence_length(text, i) : 0;
    if (length > 0) {
      i += length;
      continue;
    }
    out.append(text.substr(plain, i - plain));
    if (c >= 0x80)
      out += "\xEF\xBF\xBD";
    else
      append_escaped(out, c);
    plain = ++i;
  }
  out.append(text.substr(plain));
  out += '"';
}

problem make_problem(int status, std::string_view code, std::string detail) {
  problem out;
  out.status = status;
  out.code = code;
  out.detail = std::move(detail);
  return out;
}

problem invalid_fields(std::vector<field_error> errors) {
  problem out;
  out.status = 400;
  out.code = to_string(errc::invalid_argument);
  if (!errors.empty())
    out.detail = (errors.front().pointer.empty() ? "" : errors.front().pointer + ": ")
                 + errors.front().detail;
  out.errors = std::move(errors);
  return out;
}

std::string to_json(const problem& fault, std::string_view title, std::string_view instance,
                    std::string_view request_id) {
  std::string out = "{\"type\":";
  append_json_string(out, "urn:troupe:problem:" + fault.code);
  append_text(out, "title", title);
  out += ",\"status\":" + std::to_string(fault.status);
  append_text(out, "detail", fault.detail);
  append_text(out, "instance", instance);
  append_text(out, "code", fault.code);
  append_text(out, "request_id", request_id);
  if (!fault.existing_id.empty())
    append_text(out, "existing_id", fault.existing_id);
  out += fault.retryable ? ",\"retryable\":true" : ",\"retryable\":false";
  out += ",\"errors\":[";
  for (std::size_t i = 0; i < fault.errors.size(); ++i) {
    out += i == 0 ? "{\"pointer\":" : ",{\"pointer\":";
    append_json_string(out, fault.errors[i].pointer);
    append_text(out, "detail", fault.errors[i].detail);
    out += '}';
  }
  out += "]}";
  return out;
}

} // namespace troupe::http
