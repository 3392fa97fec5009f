// Times as text: RFC 3339 in UTC for JSON, IMF-fixdate for the Date header.
#pragma once

#include "messages/job.hpp"

#include <ctime>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::http {

/// Appends 2026-11-23T08:55:11.5Z: always `Z`, fractions only when there are any, without trailing
/// zeros. Years outside 0000..9999 are clamped to the range's end.
void append_time(std::string& out, timestamp time);
std::string format_time(timestamp time);
/// As a JSON value.
void append_time_or_null(std::string& out, const std::optional<timestamp>& time);
/// RFC 3339 with any offset, at most nanoseconds (cut to microseconds); leap seconds count as the
/// second after. Nothing when it is malformed or no date of the calendar.
std::optional<timestamp> parse_time(std::string_view text);

/// Sun, 06 Nov 1994 08:49:37 GMT
std::string http_date(std::time_t time);

} // namespace troupe::http
