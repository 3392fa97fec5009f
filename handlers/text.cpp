#include "handlers/text.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iconv.h>

namespace troupe {

namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

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

/// The value after `key` ("charset", "encoding"), '=' and optional quote; lower case.
std::string labelled(std::string_view text, std::string_view key) {
  const auto found = std::search(text.begin(), text.end(), key.begin(), key.end(),
                                 [](char a, char b) { return lower(a) == b; });
  auto rest = text.substr(static_cast<std::size_t>(found - text.begin()));
  if (rest.empty())
    return {};
  rest.remove_prefix(key.size());
  const auto value = rest.find_first_not_of(" \t\r\n\"'=");
  if (value == std::string_view::npos || rest.substr(0, value).find('=') == std::string_view::npos)
    return {};
  rest.remove_prefix(value);
  std::string label(
      rest.substr(0, std::min<std::size_t>(rest.find_first_of(" \t\r\n\"'>;?/"), 40)));
  std::transform(label.begin(), label.end(), label.begin(), lower);
  return label;
}

std::string charset_of(std::string_view bytes, std::string_view content_type) {
  if (bytes.starts_with("\xEF\xBB\xBF"))
    return "utf-8";
  if (bytes.starts_with("\xFE\xFF"))
    return "utf-16be";
  if (bytes.starts_with("\xFF\xFE"))
    return "utf-16le";
  if (auto label = labelled(content_type, "charset"); !label.empty())
    return label;
  const auto head = bytes.substr(0, 1024);
  auto label = labelled(head, "charset");
  if (label.empty() && head.starts_with("<?xml"))
    label = labelled(head.substr(0, head.find('>')), "encoding");
  // A page whose label could be read as ASCII is not in UTF-16, whatever the label says.
  return label.starts_with("utf-16") ? "utf-8" : label;
}

/// The charsets of the web. iconv loads a module per name and knows far more, not all well kept.
bool is_web_charset(std::string_view name) {
  constexpr std::array<std::string_view, 16> prefixes = {
      "iso-8859-", "windows-", "cp125",   "koi8-", "gbk",       "gb2312",  "gb18030", "big5",
      "euc-jp",    "euc-kr",   "shift_j", "sjis",  "macintosh", "tis-620", "utf-16",  "ibm866"};
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [name](std::string_view prefix) { return name.starts_with(prefix); });
}

/// Converts by iconv; false when the charset is unknown.
bool convert(std::string_view bytes, const std::string& charset, std::string& out) {
  iconv_t converter = reinterpret_cast<iconv_t>(-1);
  if (is_web_charset(charset))
    converter = iconv_open("UTF-8", charset.c_str());
  if (converter == reinterpret_cast<iconv_t>(-1))
    return false;
  out.clear();
  char* in = const_cast<char*>(bytes.data()); // iconv's signature; it only reads
  std::size_t in_left = bytes.size();
  char piece[4096];
  while (in_left > 0) {
    char* to = piece;
    std::size_t to_left = sizeof piece;
    const auto result = iconv(converter, &in, &in_left, &to, &to_left);
    out.append(piece, static_cast<std::size_t>(to - piece));
    if (result != static_cast<std::size_t>(-1) || errno == E2BIG)
      continue;
    out += replacement;
    ++in;
    --in_left;
  }
  iconv_close(converter);
  return true;
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
    clean += replacement;
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

std::string_view page_text(std::string_view bytes, std::string_view content_type,
                           std::string& buffer) {
  const auto charset = charset_of(bytes, content_type);
  if (bytes.starts_with("\xEF\xBB\xBF"))
    bytes.remove_prefix(3);
  const bool utf8 = charset.empty() || charset == "utf-8" || charset == "utf8";
  if (utf8 && is_clean_utf8(bytes))
    return bytes;
  if (charset == "utf-8" || charset == "utf8") {
    buffer = clean_utf8(bytes);
    return buffer;
  }
  // What the web calls latin1 is windows-1252.
  const bool latin = charset.empty() || charset == "iso-8859-1" || charset == "latin1"
                     || charset == "us-ascii" || charset == "ascii";
  if (latin || !convert(bytes, charset, buffer)) {
    if (is_clean_utf8(bytes))
      return bytes;
    convert(bytes, "windows-1252", buffer);
  }
  if (!is_clean_utf8(buffer))
    buffer = clean_utf8(buffer);
  return buffer;
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  out += '"';
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += digits[byte >> 4U];
      out += digits[byte & 15U];
    } else {
      out += c;
    }
  }
  out += '"';
}

bool starts_with_lower(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size()
         && std::equal(prefix.begin(), prefix.end(), text.begin(),
                       [](char p, char t) { return lower(t) == p; });
}

} // namespace troupe
