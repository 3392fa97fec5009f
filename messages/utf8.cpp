#include "messages/utf8.hpp"

#include <cstdint>
#include <cstring>

namespace troupe {

namespace {

/// Length of the valid character at `at`, 0 when it is invalid or NUL.
std::size_t character_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const auto b = byte(at);
  if (b < 0x80)
    return b == 0 ? 0 : 1;
  if (b >= 0xC2 && b <= 0xDF)
    return follows(at + 1) ? 2 : 0;
  if ((b & 0xF0U) == 0xE0U) {
    const auto second = byte(at + 1);
    if ((b == 0xE0 && second < 0xA0) || (b == 0xED && second > 0x9F))
      return 0;
    return follows(at + 1) && follows(at + 2) ? 3 : 0;
  }
  if (b >= 0xF0 && b <= 0xF4) {
    const auto second = byte(at + 1);
    if ((b == 0xF0 && second < 0x90) || (b == 0xF4 && second > 0x8F))
      return 0;
    return follows(at + 1) && follows(at + 2) && follows(at + 3) ? 4 : 0;
  }
  return 0;
}

/// Where the first byte stands that is not plain ASCII without NUL, from `at` on.
std::size_t skip_ascii(std::string_view text, std::size_t at) {
  constexpr std::uint64_t ones = 0x0101010101010101U;
  constexpr std::uint64_t tops = 0x8080808080808080U;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, text.data() + at, 8);
    if (((eight | (eight - ones)) & tops) != 0)
      break;
  }
  while (at < text.size() && text[at] > 0)
    ++at;
  return at;
}

std::size_t first_unclean(std::string_view text) {
  std::size_t at = 0;
  while ((at = skip_ascii(text, at)) < text.size()) {
    const auto length = character_length(text, at);
    if (length == 0)
      break;
    at += length;
  }
  return at;
}

} // namespace

bool is_clean_utf8(std::string_view text) {
  return first_unclean(text) == text.size();
}

std::string clean_utf8(std::string_view text) {
  std::string clean;
  clean.reserve(text.size() + 16);
  while (!text.empty()) {
    const auto good = first_unclean(text);
    clean.append(text.substr(0, good));
    if (good == text.size())
      break;
    clean += utf8_replacement;
    text.remove_prefix(good + 1);
  }
  return clean;
}

std::string_view cut_utf8(std::string_view text, std::size_t limit) {
  if (text.size() <= limit)
    return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0U) == 0x80U)
    --limit;
  return text.substr(0, limit);
}

} // namespace troupe
