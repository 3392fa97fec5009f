#include "db/json_text.hpp"

#include <array>
#include <chrono>
#include <cstdio>

namespace troupe::db {

void append_json_text(std::string& out, std::string_view text) {
  constexpr std::string_view hex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      out += "\\u00";
      out += hex[byte >> 4U];
      out += hex[byte & 15U];
      continue;
    }
    if (c == '"' || c == '\\')
      out += '\\';
    out += c;
  }
  out += '"';
}

std::string json_time(timestamp time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{time - day};
  std::array<char, 64> out;
  const auto size = std::snprintf(
      out.data(), out.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ", static_cast<int>(date.year()),
      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
      static_cast<int>(clock.seconds().count()), static_cast<int>(clock.subseconds().count()));
  return {out.data(), static_cast<std::size_t>(size)};
}

object_text& object_text::texts(std::string_view name, const std::vector<std::string>& values) {
  auto& out = begin(name);
  out += '[';
  for (const auto& value : values) {
    if (out.back() != '[')
      out += ',';
    append_json_text(out, value);
  }
  out += ']';
  return *this;
}

object_text& object_text::filter(const job_filter& filter) {
  if (filter.state)
    text("state", to_string(*filter.state));
  if (filter.queue)
    text("queue", *filter.queue);
  if (filter.kind)
    text("kind", *filter.kind);
  if (!filter.tags.empty())
    texts("tags", filter.tags);
  if (filter.limit_key)
    text("limit_key", *filter.limit_key);
  if (filter.created_from)
    text("created_from", json_time(*filter.created_from));
  if (filter.created_before)
    text("created_before", json_time(*filter.created_before));
  if (!filter.args.empty())
    raw("args", filter.args);
  return *this;
}

} // namespace troupe::db
