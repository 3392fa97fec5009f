// spdlog writes and flushes; the lines are made here, because what spdlog's patterns print of a
// message is the message as it is, control characters included.
#include "launcher/log.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <array>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <unistd.h>

namespace troupe::log {

namespace {

constexpr std::array<std::string_view, 5> level_names = {"debug", "info", "warn", "error", "off"};

std::string_view name_of(level of) {
  return level_names.at(static_cast<std::size_t>(of));
}

std::string time_of(event_time at) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(at);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                     (at - seconds).count());
}

/// The code point at the front of `text` and its length; 0 for a byte that is no UTF-8.
struct decoded {
  char32_t point = 0;
  std::size_t length = 0;
};

decoded decode(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80)
    return {lead, 1};
  const std::size_t length = lead >= 0xf0 && lead <= 0xf4  ? 4
                             : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xc2 && lead < 0xe0 ? 2
                                                           : 0;
  if (length == 0 || text.size() < length)
    return {};
  char32_t point = lead & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80)
      return {};
    point = (point << 6U) | (byte(i) & 0x3fU);
  }
  const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
  if (overlong || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
    return {};
  return {point, length};
}

/// C0, DEL and C1 drive terminals; U+2028/2029 are line ends to some readers; the bidirectional
/// overrides show a line as something that it is not.
bool is_harmful(char32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x2028 || point == 0x2029
         || (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
}

/// Appends `text` with harmful points as \uXXXX, broken bytes as U+FFFD, and the characters of
/// `escaped` behind a backslash.
void append_neutral(std::string& out, std::string_view text, std::string_view escaped) {
  while (!text.empty()) {
    const decoded next = decode(text);
    const std::size_t length = next.length == 0 ? 1 : next.length;
    if (next.length == 0) {
      out += "\xef\xbf\xbd";
    } else if (is_harmful(next.point)) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<std::uint32_t>(next.point));
    } else {
      if (length == 1 && escaped.find(text.front()) != std::string_view::npos)
        out += '\\';
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
}

level level_of_environment() {
  const char* word = std::getenv("TROUPE_LOG");
  if (word == nullptr || *word == '\0')
    return level::info;
  if (const auto found = parse_level(word))
    return *found;
  throw std::invalid_argument(
      fmt::format("TROUPE_LOG is '{}'; use debug, info, warn, error or off", word));
}

spdlog::level::level_enum to_spdlog(level of) {
  switch (of) {
  case level::debug:
    return spdlog::level::debug;
  case level::info:
    return spdlog::level::info;
  case level::warn:
    return spdlog::level::warn;
  case level::error:
    return spdlog::level::err;
  case level::off:
    break;
  }
  return spdlog::level::off;
}

} // namespace

std::optional<level> parse_level(std::string_view word) {
  for (std::size_t i = 0; i < level_names.size(); ++i) {
    if (level_names.at(i) == word)
      return static_cast<level>(i);
  }
  return std::nullopt;
}

std::string text_line(event_time at, level of, std::string_view who, std::string_view text) {
  std::string line = fmt::format("{} {:<5} ", time_of(at), name_of(of));
  append_neutral(line, who, "");
  line += ": ";
  append_neutral(line, text, "");
  return line;
}

std::string json_line(event_time at, level of, std::string_view who, std::string_view text) {
  std::string line = fmt::format(R"({{"time":"{}","level":"{}","who":")", time_of(at), name_of(of));
  append_neutral(line, who, "\"\\");
  line += R"(","message":")";
  append_neutral(line, text, "\"\\");
  line += "\"}";
  return line;
}

void install(const options& wanted) {
  const level lowest = wanted.lowest ? *wanted.lowest : level_of_environment();
  const bool as_text = wanted.shape == format::text
                       || (wanted.shape == format::automatic && isatty(STDERR_FILENO) == 1);
  auto writer =
      std::make_shared<spdlog::logger>("troupe", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  writer->set_pattern("%v");
  writer->set_level(spdlog::level::debug);
  writer->flush_on(spdlog::level::warn);
  set_sink([writer, as_text](level of, std::string_view who, std::string_view text) {
    const auto now =
        std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    const std::string line =
        as_text ? text_line(now, of, who, text) : json_line(now, of, who, text);
    writer->log(to_spdlog(of), spdlog::string_view_t(line.data(), line.size()));
  });
  set_level(lowest);
}

} // namespace troupe::log
