#include "cli/text.hpp"

#include <array>
#include <cstdio>
#include <cwchar>

namespace troupe::cli {

namespace {

constexpr char32_t no_character = 0xFFFFFFFF;

struct decoded {
  char32_t character = no_character;
  std::size_t length = 1;
};

/// The character at `at`, or no_character and one byte.
decoded decode(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const unsigned first = byte(0);
  if (first < 0x80)
    return {first, 1};
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  constexpr std::array<char32_t, 5> least{0, 0, 0x80, 0x800, 0x10000};
  if (first < 0xC2 || first > 0xF4)
    return {};
  char32_t value = first & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U)
      return {};
    value = (value << 6U) | (byte(i) & 0x3FU);
  }
  if (value < least[length] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
    return {};
  return {value, length};
}

/// Marks that change the direction of what follows, and Unicode's line ends.
bool is_deceiving(char32_t c) {
  return (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x200E || c == 0x200F
         || c == 0x061C || c == 0x2028 || c == 0x2029;
}

void append_hex(std::string& out, const char* format, char32_t c) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), format, static_cast<unsigned>(c));
  out += text.data();
}

int width_of(char32_t c) {
  const int width = ::wcwidth(static_cast<wchar_t>(c));
  return width < 0 ? 1 : width;
}

/// The end of the JSON value that starts at `at`.
std::size_t value_end(std::string_view json, std::size_t at) {
  int depth = 0;
  bool in_string = false;
  for (; at < json.size(); ++at) {
    const char c = json[at];
    if (in_string) {
      if (c == '\\')
        ++at;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (depth-- == 0)
        return at;
    } else if (c == ',' && depth == 0) {
      return at;
    }
  }
  return json.size();
}

std::string_view trimmed(std::string_view text) {
  constexpr const char* space = " \t\r\n";
  const auto first = text.find_first_not_of(space);
  if (first == std::string_view::npos)
    return {};
  return text.substr(first, text.find_last_not_of(space) - first + 1);
}

} // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const auto [c, length] = decode(text, i);
    if (c == no_character)
      out += "\xEF\xBF\xBD";
    else if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (c < 0x20 || (c >= 0x7F && c < 0xA0))
      append_hex(out, "\\x%02x", c);
    else if (is_deceiving(c))
      append_hex(out, "\\u{%04x}", c);
    else
      out.append(text.substr(i, length));
    i += length;
  }
  return out;
}

std::string printable_json(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (std::size_t i = 0; i < json.size();) {
    const auto [c, length] = decode(json, i);
    if (c == no_character)
      out += "\xEF\xBF\xBD";
    else if ((c >= 0x7F && c < 0xA0) || is_deceiving(c))
      append_hex(out, "\\u%04x", c);
    else if (c < 0x20)
      out += ' '; // white space between values: a string holds no raw control character
    else
      out.append(json.substr(i, length));
    i += length;
  }
  return out;
}

std::string without_password(const std::string& url) {
  const auto scheme = url.find("://");
  const auto from = scheme == std::string::npos ? 0 : scheme + 3;
  // The last one: what is before it may be a password with signs that belong escaped.
  const auto at = url.rfind('@');
  const auto colon = url.find(':', from);
  if (at == std::string::npos || colon == std::string::npos || colon > at)
    return url;
  return url.substr(0, colon + 1) + "***" + url.substr(at);
}

int display_width(std::string_view text) {
  int width = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto [c, length] = decode(text, i);
    width += c == no_character ? 1 : width_of(c);
    i += length;
  }
  return width;
}

std::string cut_to_width(std::string_view text, int columns) {
  if (columns <= 0)
    return {};
  if (display_width(text) <= columns)
    return std::string{text};
  int width = 0;
  std::size_t i = 0;
  while (i < text.size()) {
    const auto [c, length] = decode(text, i);
    const int next = c == no_character ? 1 : width_of(c);
    if (width + next > columns - 1)
      break;
    width += next;
    i += length;
  }
  return std::string{text.substr(0, i)} + "\u2026";
}

std::string bytes_text(std::int64_t bytes) {
  constexpr std::array<const char*, 5> units{"kB", "MB", "GB", "TB", "PB"};
  if (bytes < 1000)
    return std::to_string(bytes) + " B";
  auto value = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  while (value >= 999.95 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %s", value, units[unit]);
  return text.data();
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds < 0 ? 0 : seconds);
  std::array<char, 48> text{};
  if (whole < 3600)
    std::snprintf(text.data(), text.size(), "%d:%02d", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  else
    std::snprintf(text.data(), text.size(), "%lld:%02d:%02d", static_cast<long long>(whole / 3600),
                  static_cast<int>(whole / 60 % 60), static_cast<int>(whole % 60));
  return text.data();
}

std::string_view raw_member(std::string_view object, std::string_view name) {
  std::size_t at = object.find('{');
  while (at != std::string_view::npos && at < object.size()) {
    const auto open = object.find_first_of("\"}", at + 1);
    if (open == std::string_view::npos || object[open] == '}')
      return {};
    std::size_t close = open + 1;
    while (close < object.size() && object[close] != '"')
      close += object[close] == '\\' ? 2 : 1;
    const auto colon = object.find(':', close);
    if (colon == std::string_view::npos)
      return {};
    const auto end = value_end(object, colon + 1);
    if (object.substr(open + 1, close - open - 1) == name)
      return trimmed(object.substr(colon + 1, end - colon - 1));
    at = end;
  }
  return {};
}

std::vector<std::string_view> raw_elements(std::string_view array) {
  std::vector<std::string_view> out;
  for (auto at = array.find('['); at < array.size() && array[at] != ']';) {
    const auto end = value_end(array, at + 1);
    const auto element = trimmed(array.substr(at + 1, end - at - 1));
    if (!element.empty())
      out.push_back(element);
    at = end;
  }
  return out;
}

} // namespace troupe::cli
