// Where the rooms' events go: one line each on standard error, text for a terminal and JSON for
// anything else. Whatever stands in an event, it stays one line and cannot drive a terminal.
#pragma once

#include "messages/log.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::log {

enum class format : std::uint8_t { automatic, text, json };

struct options {
  /// Lowest level to write; none: TROUPE_LOG, or info when that is not set.
  std::optional<level> lowest;
  /// automatic: text when standard error is a terminal.
  format shape = format::automatic;
};

/// Installs the sink. Throws std::invalid_argument when TROUPE_LOG is no level.
void install(const options& wanted = {});

/// debug, info, warn, error or off; nothing for another word.
std::optional<level> parse_level(std::string_view word);

using event_time = std::chrono::sys_time<std::chrono::milliseconds>;
/// One event as one line, without its line feed.
std::string text_line(event_time at, level of, std::string_view who, std::string_view text);
std::string json_line(event_time at, level of, std::string_view who, std::string_view text);

} // namespace troupe::log
