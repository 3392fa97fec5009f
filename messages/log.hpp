// What the rooms say about themselves, without knowing who writes it down. One call is one event.
// The launcher installs the sink (launcher/log.cpp); until then everything is dropped. Any thread
// may call; the sink must be thread-safe, must not throw and must not log.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace troupe::log {

enum class level : std::uint8_t { debug, info, warn, error, off };

/// `who` is the actor or part that speaks ("pool", "http"); both views live only during the call.
using sink = std::function<void(level, std::string_view who, std::string_view text)>;

/// Replaces the sink; an empty one drops everything again. Meant for start-up and tests: earlier
/// sinks are kept for ever, since another thread may still be inside one.
void set_sink(sink to);
/// Events below this level are dropped before they reach the sink. The default is info.
void set_level(level lowest);
/// False when an event of this level would be dropped: ask before building a costly text.
bool enabled(level of);

void debug(std::string_view who, std::string_view text);
void info(std::string_view who, std::string_view text);
void warn(std::string_view who, std::string_view text);
void error(std::string_view who, std::string_view text);

} // namespace troupe::log
