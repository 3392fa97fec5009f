#include "http/byte_range.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

namespace troupe::http {

namespace {

constexpr std::string_view unit = "bytes";

/// Digits only. One that 64 bits do not hold is beyond every file.
std::optional<std::int64_t> number_of(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos)
    return std::nullopt;
  std::int64_t value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc{})
    return std::numeric_limits<std::int64_t>::max();
  return value;
}

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos)
    return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

} // namespace

wanted_range parse_range(std::string_view field, std::int64_t size) {
  const auto equals = field.find('=');
  if (equals == std::string_view::npos || !iequals(trimmed(field.substr(0, equals)), unit))
    return {};
  const auto one = trimmed(field.substr(equals + 1));
  const auto dash = one.find('-');
  if (dash == std::string_view::npos)
    return {};
  const auto first = number_of(one.substr(0, dash));
  const auto last = number_of(one.substr(dash + 1));
  if (dash == 0) { // the last so many
    if (!last)
      return {};
    if (*last == 0 || size == 0)
      return no_range{};
    return byte_range{std::max<std::int64_t>(0, size - *last), size};
  }
  const bool open = dash + 1 == one.size();
  if (!first || (!last && !open) || (last && *last < *first))
    return {};
  if (*first >= size)
    return no_range{};
  return byte_range{*first, open ? size : std::min(size - 1, *last) + 1};
}

wanted_range wanted_of(const request_head& head, std::int64_t size, std::string_view tag) {
  const head_field* found = nullptr;
  for (const auto& field : head.fields) {
    if (iequals(field.name, "If-Range") && field.value != tag)
      return {};
    if (!iequals(field.name, "Range"))
      continue;
    if (found != nullptr)
      return {};
    found = &field;
  }
  return found != nullptr ? parse_range(found->value, size) : wanted_range{};
}

std::string content_range(const byte_range& range, std::int64_t size) {
  return "bytes " + std::to_string(range.begin) + '-' + std::to_string(range.end - 1) + '/'
         + std::to_string(size);
}

std::string content_range_of_none(std::int64_t size) {
  return "bytes */" + std::to_string(size);
}

} // namespace troupe::http
