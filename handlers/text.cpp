#include "handlers/text.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iconv.h>

namespace troupe {

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
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
    out += utf8_replacement;
    ++in;
    --in_left;
  }
  iconv_close(converter);
  return true;
}

} // namespace

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
