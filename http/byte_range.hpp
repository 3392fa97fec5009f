// Range and If-Range (RFC 9110, 13.1.5 and 14.2): which bytes of a file a GET asks for. Pure.
#pragma once

#include "http/framing.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace troupe::http {

/// [begin, end), not empty.
struct byte_range {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  bool operator==(const byte_range&) const = default;
};
/// Nothing of the file is asked for: 416.
struct no_range {
  bool operator==(const no_range&) const = default;
};
/// The monostate: the whole file. So are several ranges, units other than bytes and nonsense, which
/// a server may ignore, and what If-Range says is of another file.
using wanted_range = std::variant<std::monostate, byte_range, no_range>;

wanted_range parse_range(std::string_view field, std::int64_t size);
/// `tag` is the file's, strong and with its quotes. A date in If-Range is another file's: none is
/// sent.
wanted_range wanted_of(const request_head& head, std::int64_t size, std::string_view tag);

/// `bytes 0-99/200`
std::string content_range(const byte_range& range, std::int64_t size);
/// `bytes */200`
std::string content_range_of_none(std::int64_t size);

} // namespace troupe::http
