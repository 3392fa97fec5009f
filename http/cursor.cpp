// See cursor.hpp. 18 bytes in base64url: version, direction (always "older"), id, check.
#include "http/cursor.hpp"

#include "http/checksum.hpp"

#include <array>
#include <cstdint>

namespace troupe::http {

namespace {

constexpr unsigned char version = 1;
constexpr unsigned char older = 0;
constexpr std::size_t raw_size = 18;
constexpr std::size_t text_size = raw_size / 3 * 4;
constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

using raw_cursor = std::array<unsigned char, raw_size>;

void add_optional(checksum& sum, const std::optional<std::string>& text) {
  sum.add(static_cast<unsigned char>(text ? 1 : 0));
  if (text) {
    sum.add(static_cast<std::uint64_t>(text->size()));
    sum.add(std::string_view{*text});
  }
}

void add_time(checksum& sum, const std::optional<timestamp>& time) {
  sum.add(static_cast<unsigned char>(time ? 1 : 0));
  if (time)
    sum.add(static_cast<std::uint64_t>(time->time_since_epoch().count()));
}

void add_search(checksum& sum, const job_filter& filter) {
  sum.add(static_cast<std::uint64_t>(filter.tags.size()));
  for (const auto& tag : filter.tags)
    add_optional(sum, tag);
  add_optional(sum, filter.limit_key);
  add_time(sum, filter.created_from);
  add_time(sum, filter.created_before);
  add_optional(sum, filter.args);
}

std::uint64_t check_of(std::uint64_t id, const job_filter& filter) {
  checksum sum;
  sum.add(version);
  sum.add(older);
  sum.add(id);
  sum.add(static_cast<unsigned char>(filter.state ? static_cast<int>(*filter.state) + 1 : 0));
  add_optional(sum, filter.queue);
  add_optional(sum, filter.kind);
  // Without a search a cursor is what it always was, so that an older node knows it.
  if (is_searched(filter))
    add_search(sum, filter);
  return sum.value();
}

void put(raw_cursor& raw, std::size_t at, std::uint64_t value) {
  for (std::size_t i = 0; i < 8; ++i)
    raw.at(at + i) = static_cast<unsigned char>(value >> (56 - 8 * i));
}

std::uint64_t get(const raw_cursor& raw, std::size_t at) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i)
    value = value << 8U | raw.at(at + i);
  return value;
}

} // namespace

std::string make_cursor(job_id before, const job_filter& filter) {
  raw_cursor raw{version, older};
  const auto id = static_cast<std::uint64_t>(before.value);
  put(raw, 2, id);
  put(raw, 10, check_of(id, filter));
  std::string out;
  out.reserve(text_size);
  for (std::size_t i = 0; i < raw_size; i += 3) {
    const unsigned group = static_cast<unsigned>(raw.at(i)) << 16U
                           | static_cast<unsigned>(raw.at(i + 1)) << 8U | raw.at(i + 2);
    for (unsigned shift = 24; shift > 0; shift -= 6)
      out += alphabet[group >> (shift - 6) & 63U];
  }
  return out;
}

std::optional<job_id> read_cursor(std::string_view text, const job_filter& filter) {
  if (text.size() != text_size)
    return std::nullopt;
  raw_cursor raw{};
  for (std::size_t i = 0; i < text_size; i += 4) {
    unsigned group = 0;
    for (std::size_t j = 0; j < 4; ++j) {
      const auto digit = alphabet.find(text[i + j]);
      if (digit == std::string_view::npos)
        return std::nullopt;
      group = group << 6U | static_cast<unsigned>(digit);
    }
    for (std::size_t j = 0; j < 3; ++j)
      raw.at(i / 4 * 3 + j) = static_cast<unsigned char>(group >> (16 - 8 * j));
  }
  const auto id = get(raw, 2);
  if (raw[0] != version || raw[1] != older || get(raw, 10) != check_of(id, filter))
    return std::nullopt;
  if (id == 0 || id > static_cast<std::uint64_t>(INT64_MAX))
    return std::nullopt;
  return job_id{static_cast<std::int64_t>(id)};
}

} // namespace troupe::http
