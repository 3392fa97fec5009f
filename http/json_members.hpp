// Members of a JSON object that is being written: each brings the comma before it, unless it is the
// object's first. Names need no escapes.
#pragma once

#include "messages/job.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::http {

/// The value comes after it.
void append_name(std::string& out, std::string_view name);
void append_text(std::string& out, std::string_view name, std::string_view text);
/// Null when it is empty.
void append_text_or_null(std::string& out, std::string_view name, std::string_view text);
/// Null when there is none.
void append_number(std::string& out, std::string_view name, std::optional<std::int64_t> number);
void append_time_of(std::string& out, std::string_view name, const std::optional<timestamp>& time);

} // namespace troupe::http
