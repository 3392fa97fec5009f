// The only door for JSON from outside: one pass that refuses what would hurt later (depth,
// duplicate keys, NUL, numbers PostgreSQL cannot hold) and says where. Values under one key,
// usually `args`, are not built up but written again as compact text, numbers exactly as they came.
#pragma once

#include "http/limits.hpp"
#include "http/problem.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe::http {

struct json_member;

/// A value outside `args`.
struct json_value {
  enum class kind : std::uint8_t { null, boolean, integer, number, string, array, object, raw };
  kind type = kind::null;
  bool flag = false;
  std::int64_t integer = 0;
  std::string text;                 ///< a string's value, a number as written, or raw JSON
  std::vector<json_member> members; ///< of an object, or an array's elements with empty keys
};

struct json_member {
  std::string key;
  json_value value;
};

struct json_error {
  std::string pointer; ///< the value at fault, as far as it is known; empty of what is not JSON
  std::string detail;
  std::size_t offset = 0; ///< bytes up to where the fault was noticed, with the one at fault
};

/// Reads one document. Never recurses, never throws on bad input.
std::variant<json_value, json_error> read_json(std::string_view text, const json_limits& limits);

/// The same as a 400, with its byte, line and column in `text`, all counted from 1, columns in
/// bytes.
problem malformed(json_error error, std::string_view text);

/// Appends `/key` with RFC 6901's escapes.
void append_pointer(std::string& pointer, std::string_view key);

} // namespace troupe::http
